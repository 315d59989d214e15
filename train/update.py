"""How an update is made."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

Metrics = dict[str, jax.Array]


def gradient_norm(gradient: PyTree) -> Float[Array, ""]:
    """Euclidean norm over all leaves; finite wherever the gradient is, however large."""
    largest = optax.tree.norm(gradient, ord="inf")
    scale = jnp.where(largest > 0, largest, 1.0)
    return scale * optax.tree.norm(jax.tree.map(lambda g: g / scale, gradient))
