"""2 x 2 maxima."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Maxima of squares of 2 x 2 positions; an odd row or column at the end is left out.

    The gradient goes to the largest of a square, and in equal parts to largest ones. It is made of comparisons of
    pairs: that of `jnp.max` divides by the number of entries equal to the maximum, which is 0 / 0 where the compiler
    computes those entries a second time and rounds differently.
    """
    batch, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    squares = even.reshape(batch, height // 2, 2, width // 2, 2, channels)
    rows = jnp.maximum(squares[:, :, 0], squares[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])
