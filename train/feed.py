"""How batches reach the compiled step: from the device, or from the host with each dispatch."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from train.devices import across_devices, replicated, split
from train.shuffle import epoch_index
from train.source import Source

ORDER = 2**31 - 1
"""Folded into a seed's key for the order of its examples."""


def order_keys(keys: jax.Array) -> jax.Array:
    """For each seed's key, that of the order in which the seed sees the training examples."""
    return jax.vmap(lambda key: jax.random.fold_in(key, ORDER))(keys)


class Feed(Protocol):
    """Training batches as a function of (seed, step): there is nothing to checkpoint (but see `StatefulFeed`)."""

    @property
    def per_seed(self) -> bool:
        """Whether `chunk` has a leading axis of seeds."""
        ...

    def chunk(self, step: int, count: int) -> PyTree:
        """What the steps [step, step + count) need, on the devices."""
        ...

    def batch(
        self, chunk: PyTree, order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> PyTree:
        """The batch of one step of one seed, for use inside the compiled program; `offset` counts in the chunk."""
        ...


@runtime_checkable
class StatefulFeed(Protocol):
    """A feed with a position of its own, which goes into the checkpoint and comes back with it."""

    def state(self) -> dict[str, Any]:
        """Where it is, as JSON holds it, after the last chunk that was asked for."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes to where it was."""
        ...


class Examples(Protocol):
    """What a `DeviceFeed` needs of a source (see `train.source.Source`)."""

    @property
    def arrays(self) -> Mapping[str, np.ndarray]: ...

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The examples of an index array, inside the compiled program."""
        ...


Order = Literal["epochs", "subsets"]
"""`epochs`: every example once per epoch, in an order of the seed's own. `subsets`: each step draws a fresh random
subset without replacement, whatever earlier steps drew."""


@dataclass(frozen=True)
class DeviceFeed:
    """The whole source lives on the devices (or is rendered there); batches are drawn inside the step."""

    source: Examples
    arrays: PyTree
    rows: Int[Array, " n"]
    batch_size: int
    order: Order = "epochs"
    per_seed: bool = False

    @classmethod
    def place(
        cls,
        source: Examples,
        rows: Int[np.ndarray, " n"],
        batch_size: int,
        mesh: Mesh,
        order: Order = "epochs",
    ) -> "DeviceFeed":
        """Puts the source's arrays on every device of the mesh."""
        whole = jax.tree.map(lambda a: _replicate(np.asarray(a), mesh), source.arrays)
        return cls(source, whole, _replicate(rows.astype(np.int32), mesh), batch_size, order)

    def chunk(self, step: int, count: int) -> PyTree:
        """The placed arrays, whatever the step."""
        return self.arrays, self.rows

    def batch(
        self, chunk: PyTree, order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> PyTree:
        """The rows of the step in the feed's order."""
        arrays, rows = chunk
        if self.order == "subsets":
            # The start of a shuffled epoch of this step alone.
            order_key, step = jax.random.fold_in(order_key, step), jnp.zeros_like(step)
        index = epoch_index(order_key, step, self.batch_size, rows.shape[0])
        return across_devices(self.source.take(arrays, across_devices(rows[index])))


@dataclass(frozen=True)
class HostFeed:
    """The source stays on the host (a memory map, say); each dispatch brings its batches along."""

    source: Source
    rows: Int[np.ndarray, " n"]
    batch_size: int
    order_keys: jax.Array
    mesh: Mesh
    inner_steps: int
    per_seed: bool = True

    def chunk(self, step: int, count: int) -> PyTree:
        """Images [seeds, inner_steps, batch, ...], the batch axis divided over the devices.

        Only the rows that this process's devices hold are read.
        """
        index = np.asarray(
            _chunk_index(self.order_keys, step, self.inner_steps, self.batch_size, len(self.rows))
        )
        rows = self.rows[index]
        sharding = split(self.mesh, axis=2)

        def read(where: Any) -> np.ndarray:
            wanted = rows[where[:3]]
            return self.source[wanted.reshape(-1)]["image"].reshape(*wanted.shape, *shape)

        shape = self.source.spec["image"].shape
        return {"image": jax.make_array_from_callback((*rows.shape, *shape), sharding, read)}

    def batch(
        self, chunk: PyTree, order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> PyTree:
        """The step's slice of what the dispatch brought."""
        return across_devices(jax.tree.map(lambda a: a[offset], chunk))


def make_feed(
    source: Source,
    rows: Int[np.ndarray, " n"],
    batch_size: int,
    keys: jax.Array,
    mesh: Mesh,
    inner_steps: int,
    device_bytes: int,
) -> Feed:
    """On the devices if the source's arrays take at most `device_bytes` there, from the host otherwise."""
    size = sum(np.asarray(a).nbytes for a in jax.tree.leaves(source.arrays))
    if size <= device_bytes:
        return DeviceFeed.place(source, rows, batch_size, mesh)
    return HostFeed(source, rows, batch_size, order_keys(keys), mesh, inner_steps)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _chunk_index(
    keys: jax.Array, step: int, count: int, batch_size: int, size: int
) -> Int[Array, "seeds steps batch"]:
    """The training examples of `count` steps of every seed."""
    steps = step + jnp.arange(count)
    draw = jax.vmap(lambda key, step: epoch_index(key, step, batch_size, size), in_axes=(None, 0))
    return jax.vmap(draw, in_axes=(0, None))(keys, steps)


def _replicate(array: np.ndarray, mesh: Mesh) -> jax.Array:
    return jax.make_array_from_callback(array.shape, replicated(mesh), lambda where: array[where])
