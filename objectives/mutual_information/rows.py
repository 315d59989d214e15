"""The K^2 scores of a batch, whole or a block of rows at a time, and what the bounds take from each row.

Every bound is a statistic of each row of scores, then a reduction over the K rows. `over_rows` computes the
first for a matrix of scores and for `ScoreBlocks` alike, so that every bound takes either.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

Pairs = Literal["off-diagonal", "all"]


@dataclass(frozen=True)
class ScoreBlocks:
    """The scores of a batch that are never held whole: memory grows with K, in the gradient too.

    `block` rows of scores [block, K] exist at a time; the gradient computes them a second time instead of storing
    them (`jax.checkpoint`), and reaches u, v and whatever `score` closes over.

    Attributes:
      score: (u, some rows of v) -> [r, k], the scores of these rows against every column.
      u: what the critic knows of every x, a tree of arrays [k, ...].
      v: what it knows of every y, a tree of arrays [k, ...].
      block: rows at a time; divides K. On several devices a multiple of their number, so that all work on each
        block.
    """

    score: Callable[[PyTree, PyTree], jax.Array]
    u: PyTree[Float[Array, "k ..."]]
    v: PyTree[Float[Array, "k ..."]]
    block: int

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.v)[0])


Scores = Float[Array, "k k"] | ScoreBlocks


def over_rows(statistic: Callable[..., PyTree], scores: Scores, *per_row: Float[Array, " k"]) -> PyTree:
    """statistic(s, own, *row) of every row, stacked.

    Args:
      statistic: of one row of scores s [k], the mask own [k] that is true at the row's joint pair, and the row's
        entry of each array of `per_row`.
      scores: all scores or their blocks.
      per_row: arrays [k].

    Raises:
      ValueError: the block size does not divide K.
    """
    size = len(scores)
    if not isinstance(scores, ScoreBlocks):
        return jax.vmap(statistic)(scores, jnp.eye(size, dtype=bool), *per_row)
    block = scores.block
    if block < 1 or size % block:
        raise ValueError(f"block {block} does not divide the {size} rows of scores")

    def one_block(rows: tuple) -> PyTree:
        index, v, *rest = rows
        own = index[:, None] == jnp.arange(size)[None]
        return jax.vmap(statistic)(scores.score(scores.u, v), own, *rest)

    # Each block takes rows from the whole batch (i, i + K/block, ...): when the batch is divided over devices,
    # every block is too, and none waits for the others.
    def deal(a: jax.Array) -> jax.Array:
        return jnp.moveaxis(a.reshape(block, size // block, *a.shape[1:]), 1, 0)

    def collect(a: jax.Array) -> jax.Array:
        return jnp.moveaxis(a, 0, 1).reshape(size, *a.shape[2:])

    rows = jax.tree.map(deal, (jnp.arange(size), scores.v, *per_row))
    return jax.tree.map(collect, jax.lax.map(jax.checkpoint(one_block, prevent_cse=False), rows))


def at_own(s: Float[Array, " k"], own: Bool[Array, " k"]) -> Float[Array, ""]:
    """S_ii: the entry of a row that belongs to its joint pair."""
    return jnp.sum(jnp.where(own, s, 0.0))


def marginal_mean(s: Float[Array, " k"], own: Bool[Array, " k"], pairs: Pairs) -> Float[Array, ""]:
    """Mean of a row over its marginal pairs."""
    return jnp.sum(s if pairs == "all" else jnp.where(own, 0.0, s)) / marginal_count(len(s), pairs)


def log_partition(s: Float[Array, " k"], own: Bool[Array, " k"], pairs: Pairs) -> Float[Array, ""]:
    """log Z(y_i), with Z(y_i) the mean of exp f(x_j, y_i) over the marginal pairs of the row."""
    s = s if pairs == "all" else jnp.where(own, -jnp.inf, s)
    return jax.nn.logsumexp(s) - math.log(marginal_count(len(s), pairs))


def marginal_count(size: int, pairs: Pairs) -> int:
    """The number of a row's marginal pairs: K - 1, or K where the joint pair counts among them.

    Raises:
      ValueError: there are none, or `pairs` is unknown.
    """
    if pairs not in ("off-diagonal", "all"):
        raise ValueError(f"pairs {pairs!r} is unknown: choose off-diagonal or all")
    count = size if pairs == "all" else size - 1
    if count < 1:
        raise ValueError(f"a batch of {size} has no pair off the diagonal: this bound needs at least two")
    return count


def joint_and_log_partition(
    scores: Scores, pairs: Pairs = "off-diagonal"
) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """f(x_i, y_i) and log Z(y_i) of every row."""
    return over_rows(lambda s, own: (at_own(s, own), log_partition(s, own, pairs)), scores)


def log_mean_exp(z: Float[Array, " k"]) -> Float[Array, ""]:
    """log 1/k sum_i exp z_i."""
    return jax.nn.logsumexp(z) - math.log(len(z))
