"""Several seeds in one program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import PyTree


def over_seeds(fn: Callable, in_axes: tuple[int | None, ...], seeds: int) -> Callable:
    """`fn` of one seed as a function of stacked seeds: arguments with axis 0 in `in_axes` are stacked.

    On an accelerator the seeds are vmapped: small models fill the chip. On a CPU they run one after another
    inside the same program, which was measured 1.7 times faster there.
    """
    if seeds == 1:
        return _single(fn, in_axes)
    if jax.default_backend() == "cpu":
        return _in_sequence(fn, in_axes)
    return jax.vmap(fn, in_axes=in_axes)


def seed_keys(seed: int, count: int) -> jax.Array:
    """Typed keys [count] of the seeds seed, seed + 1, ...: seed k of many is the single run of seed k."""
    return jax.vmap(jax.random.key)(jnp.arange(seed, seed + count))


def unstack(tree: PyTree, index: int) -> PyTree:
    """The state of one seed."""
    return jax.tree.map(lambda a: a[index], tree)


def _single(fn: Callable, in_axes: tuple[int | None, ...]) -> Callable:
    def stacked(*args: PyTree) -> PyTree:
        out = fn(*(arg if axis is None else unstack(arg, 0) for arg, axis in zip(args, in_axes, strict=True)))
        return jax.tree.map(lambda a: a[None], out)

    return stacked


def _in_sequence(fn: Callable, in_axes: tuple[int | None, ...]) -> Callable:
    def stacked(*args: PyTree) -> PyTree:
        mapped = tuple(arg for arg, axis in zip(args, in_axes, strict=True) if axis is not None)

        def one(own: tuple) -> PyTree:
            remaining = iter(own)
            return fn(
                *(arg if axis is None else next(remaining) for arg, axis in zip(args, in_axes, strict=True))
            )

        return jax.lax.map(one, mapped)

    return stacked
