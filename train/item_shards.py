"""The items of a catalogue divided over the mesh axis "items": no device holds a whole row of scores.

Each function is the plain one on a mesh without that axis. A catalogue that does not divide over the devices is
padded (`padded`, `pad_items`); what lies beyond the real items never takes part.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from train.devices import AXIS, ITEMS, parts_along, rows_divide


def shards() -> int:
    """The number of parts that the items are in, on the mesh in use."""
    return parts_along(ITEMS)


def padded(items: int, parts: int) -> int:
    """The least multiple of `parts` that is at least `items`."""
    return -(-items // parts) * parts


def multi_hot(ids: Int[Array, "b n"], items: int) -> Float[Array, "b items"]:
    """Rows of zeros and ones from padded lists of items; an id outside [0, items) is padding."""

    def own(ids: Int[Array, "b n"], first: Int[Array, ""], width: int) -> Float[Array, "b width"]:
        rows = jnp.arange(ids.shape[0])[:, None]
        inside = (ids >= first) & (ids < first + width)
        columns = jnp.where(inside, ids - first, width)
        return jnp.zeros((ids.shape[0], width)).at[rows, columns].set(1.0, mode="drop")

    if shards() == 1:
        return own(ids, jnp.int32(0), items)
    width = items // shards()

    def mine(ids: Int[Array, "b n"]) -> Float[Array, "b width"]:
        return own(ids, jax.lax.axis_index(ITEMS) * width, width)

    return _over_shards(mine, ids.shape[0], (_rows,), _both)(ids)


def log_normaliser(logits: Float[Array, "b items"], real: int | None = None) -> Float[Array, " b"]:
    """log sum_i exp logits_i of every row, over its first `real` items."""
    logits = _mask(logits, real)
    if shards() == 1:
        return jax.nn.logsumexp(logits, axis=1)

    def mine(logits: Float[Array, "b width"]) -> Float[Array, " b"]:
        largest = jax.lax.pmax(jax.lax.stop_gradient(logits.max(1)), ITEMS)
        return largest + jnp.log(jax.lax.psum(jnp.exp(logits - largest[:, None]).sum(1), ITEMS))

    return _over_shards(mine, logits.shape[0], (_both,), _rows)(logits)


def top_k(
    scores: Float[Array, "b items"], k: int, real: int | None = None
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """The k largest scores of every row and their items; of equal ones the item of the lower number first."""
    scores = _mask(scores, real)
    if shards() == 1:
        return jax.lax.top_k(scores, k)
    width = scores.shape[1] // shards()

    def mine(scores: Float[Array, "b width"]) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
        values, items = jax.lax.top_k(scores, min(k, width))
        items = items + jax.lax.axis_index(ITEMS) * width
        # In the order of the shards, so that equal scores stay in the order of their items.
        values, items = (jax.lax.all_gather(a, ITEMS, axis=1, tiled=True) for a in (values, items))
        values, places = jax.lax.top_k(values, k)
        return values, jnp.take_along_axis(items, places, axis=1)

    return _over_shards(mine, scores.shape[0], (_both,), (_rows, _rows), replicates=True)(scores)


def columns(values: Float[Array, "b items"], ids: Int[Array, "b k"]) -> Float[Array, "b k"]:
    """values[row, ids[row]] of every row."""
    if shards() == 1:
        return jnp.take_along_axis(values, ids, axis=1)
    width = values.shape[1] // shards()

    def mine(values: Float[Array, "b width"], ids: Int[Array, "b k"]) -> Float[Array, "b k"]:
        local = ids - jax.lax.axis_index(ITEMS) * width
        inside = (local >= 0) & (local < width)
        found = jnp.take_along_axis(values, jnp.clip(local, 0, width - 1), axis=1)
        return jax.lax.psum(jnp.where(inside, found, 0), ITEMS)

    return _over_shards(mine, values.shape[0], (_both, _rows), _rows)(values, ids)


def partition(state: PyTree, items: int) -> PyTree:
    """PartitionSpec of every leaf: the first axis of size `items` is divided, as are optimiser moments with it.

    On a mesh without the axis "items" nothing is.
    """

    def spec(leaf: jax.ShapeDtypeStruct) -> PartitionSpec:
        if shards() == 1 or items not in leaf.shape:
            return PartitionSpec()
        return PartitionSpec(*(None,) * leaf.shape.index(items), ITEMS)

    return jax.tree.map(spec, state)


def pad_items(state: PyTree, items: int, width: int) -> PyTree:
    """Every axis of size `items` grown to `width` with zeros."""

    def grow(leaf: jax.Array) -> jax.Array:
        if width == items or items not in leaf.shape:
            return leaf
        return jnp.pad(leaf, [(0, width - items if size == items else 0) for size in leaf.shape])

    return jax.tree.map(grow, state)


def cut_items(state: PyTree, width: int, items: int) -> PyTree:
    """The inverse of `pad_items`: every axis of size `width` without what is beyond the items."""

    def cut(leaf: jax.Array) -> jax.Array:
        if width == items:
            return leaf
        return leaf[tuple(slice(items if size == width else size) for size in leaf.shape)]

    return jax.tree.map(cut, state)


def _mask(scores: Float[Array, "b items"], real: int | None) -> Float[Array, "b items"]:
    if real is None or real == scores.shape[1]:
        return scores
    return jnp.where(jnp.arange(scores.shape[1]) < real, scores, -jnp.inf)


def _rows(batch: str | None) -> PartitionSpec:
    return PartitionSpec(batch)


def _both(batch: str | None) -> PartitionSpec:
    return PartitionSpec(batch, ITEMS)


def _over_shards(fn: Callable, rows: int, ins: tuple, outs: PyTree, replicates: bool = False) -> Callable:
    """`shard_map` over the mesh in use; rows that don't divide over the axis "data" stay whole.

    `replicates`: the result is equal on all shards of items for a reason that JAX can't see.
    """
    batch = AXIS if rows_divide(rows) else None
    out_specs = jax.tree.map(lambda place: place(batch), outs)
    in_specs = tuple(place(batch) for place in ins)
    return jax.shard_map(fn, in_specs=in_specs, out_specs=out_specs, check_vma=not replicates)
