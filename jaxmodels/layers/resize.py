"""Resizing as torch's `interpolate` and `avg_pool2d` do it, which differs from `jax.image.resize`."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped


def nearest(x: Shaped[Array, "b h w c"], height: int, width: int) -> Shaped[Array, "b height width c"]:
    """Nearest neighbour by the index floor(i h / height), without the half-pixel shift of `jax.image.resize`.

    Whole ratios are repetition, or every r-th row and column from 0 on.
    """
    for axis, size in ((1, height), (2, width)):
        x = _nearest(x, axis, size)
    return x


def _nearest(x: jax.Array, axis: int, size: int) -> jax.Array:
    old = x.shape[axis]
    if old % size == 0:
        return jax.lax.slice_in_dim(x, 0, old, old // size, axis)
    if size % old == 0:
        return jnp.repeat(x, size // old, axis)
    return jnp.take(x, np.arange(size) * old // size, axis)


def upsample(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Twice the size, nearest neighbour."""
    return nearest(x, 2 * x.shape[1], 2 * x.shape[2])


def bilinear(x: Float[Array, "b h w c"], height: int, width: int) -> Float[Array, "b height width c"]:
    """Bilinear with half-pixel centres and no antialiasing."""
    shape = (x.shape[0], height, width, x.shape[3])
    return x if x.shape == shape else jax.image.resize(x, shape, "bilinear", antialias=False)


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
    """Mean of 3x3 windows at stride 2 with padding 1, which does not count: i = (h - 1) // 2 + 1."""
    total, ones = x, jnp.ones((1, *x.shape[1:3], 1))
    for axis in (1, 2):
        total, ones = _sum_of_three(total, axis), _sum_of_three(ones, axis)
    return total / ones.astype(x.dtype)


def _sum_of_three(x: jax.Array, axis: int) -> jax.Array:
    """x[2i - 1] + x[2i] + x[2i + 1], with zeros outside: a pair, and the first of the next pair."""
    count = (x.shape[axis] + 1) // 2
    sides = [(0, 0)] * x.ndim
    sides[axis] = (1, 2 * count + 1 - x.shape[axis])
    pairs = jnp.pad(x, sides).reshape(*x.shape[:axis], count + 1, 2, *x.shape[axis + 1 :])
    first, second = (jax.lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
    return jax.lax.slice_in_dim(first + second, 0, count, 1, axis) + jax.lax.slice_in_dim(
        first, 1, count + 1, 1, axis
    )
