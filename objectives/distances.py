"""Euclidean distances with safe gradients."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sqrt(x) with value and gradient 0 where x <= 0, as torch's norm has it; NaN stays NaN."""
    zero = x <= 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))


def norm(x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Euclidean norm of each example over all its other axes."""
    return safe_sqrt(jnp.sum(x.reshape(len(x), -1) ** 2, axis=-1))


def pairwise_distance(x: Float[Array, "b ..."]) -> Float[Array, "b b"]:
    """Euclidean distances between all pairs of examples, over all their other axes.

    Gram form on centred data: memory b^2, not b^2 d. Squared distances below the rounding error of that form
    count as zero, and so does the diagonal; there the gradient is zero.
    """
    flat = x.reshape(len(x), -1)
    flat = flat - jnp.mean(flat, axis=0, keepdims=True)
    gram = jnp.matmul(flat, flat.T, precision=jax.lax.Precision.HIGHEST)
    squared_norm = jnp.diagonal(gram)
    total = squared_norm[:, None] + squared_norm[None]
    squared = total - 2 * gram
    rounding = 4 * jnp.finfo(x.dtype).eps * jax.lax.stop_gradient(total)
    same = jnp.eye(len(x), dtype=bool) | (squared <= rounding)
    return safe_sqrt(jnp.where(same, 0.0, squared))
