"""Adagrad as GRU4Rec uses it, dense for weights and sparse for the rows of a table that a step looked up.

acc += g^2; v = m v - lr g / sqrt(acc + 1e-6); theta += v. acc starts at 0, and the small number stands inside the
root: optax.adagrad has 0.1 and 1e-7 outside. Rows that were not looked up keep everything, their velocity too. Where a
row was looked up several times its gradients are summed first, as in the author's PyTorch port; the original code
takes one of the squares for acc.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

EPSILON = 1e-6


class Adagrad(NamedTuple):
    """Learning rate and momentum."""

    learning_rate: float
    momentum: float = 0.0


class Moments(NamedTuple):
    """The sum of squared gradients of one array and, with momentum, its velocity."""

    acc: Array
    velocity: Array | None


def init_adagrad(params: PyTree, momentum: float) -> PyTree:
    """`Moments` of every array, zeros."""

    def zeros(a: Array) -> Moments:
        return Moments(jnp.zeros_like(a), jnp.zeros_like(a) if momentum else None)

    return jax.tree.map(zeros, params)


def adagrad_tree(params: PyTree, moments: PyTree, gradient: PyTree, how: Adagrad) -> tuple[PyTree, PyTree]:
    """(params, moments) after a step on every array of a tree."""
    leaves, structure = jax.tree.flatten(params)
    both = zip(structure.flatten_up_to(moments), structure.flatten_up_to(gradient), strict=True)
    stepped = [_step(a, m, g, how) for a, (m, g) in zip(leaves, both, strict=True)]
    return structure.unflatten([p for p, _ in stepped]), structure.unflatten([m for _, m in stepped])


def adagrad_rows(
    table: Float[Array, "items ..."],
    moments: Any,
    rows: Int[Array, " k"],
    gradient: Float[Array, "k ..."],
    how: Adagrad,
) -> tuple[Float[Array, "items ..."], Moments]:
    """(table, moments) after a step on the rows that were looked up.

    Args:
      table: of which.
      moments: of the table.
      rows: looked up, from 0 on, in any order and number of times; those from `items` on change nothing.
      gradient: of each lookup.
      how: of the step.
    """
    owner, rows = _owners(rows, len(table))
    summed = jnp.zeros_like(gradient).at[owner].add(gradient)
    # Reading clips what lies outside, writing drops it.
    looked_up, kept = jax.tree.map(lambda a: a.at[rows].get(mode="clip"), (table, moments))
    new = _step(looked_up, kept, summed, how)
    written: Any = jax.tree.map(lambda a, row: a.at[rows].set(row, mode="drop"), (table, moments), new)
    return written


def _owners(rows: Int[Array, " k"], items: int) -> tuple[Int[Array, " k"], Int[Array, " k"]]:
    """Of each lookup the last one of the same row, and the rows with `items` in the place of all but those."""
    place = jnp.arange(len(rows))
    last = jnp.zeros(items + 1, place.dtype).at[rows].max(place, mode="drop")
    owner = last[jnp.minimum(rows, items)]
    return owner, jnp.where(owner == place, rows, items)


def _step(parameter: Array, moments: Moments, gradient: Array, how: Adagrad) -> tuple[Array, Moments]:
    acc = moments.acc + gradient**2
    change = -how.learning_rate * gradient / jnp.sqrt(acc + EPSILON)
    if moments.velocity is None:
        return parameter + change, Moments(acc, None)
    velocity = how.momentum * moments.velocity + change
    return parameter + velocity, Moments(acc, velocity)
