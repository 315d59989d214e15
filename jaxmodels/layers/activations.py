"""Activations that flax does not have."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def inverse_sigmoid(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log x - log (1 - x) of pixels in [0, 1], clipped 1e-4 away from both ends (range +-9.21)."""
    a = jnp.clip(x, 1e-4, 1 - 1e-4)
    b = jnp.clip(1 - a, 1e-4, 1 - 1e-4)
    return jnp.log(a) - jnp.log(b)


def leaky_silu(x: Float[Array, "..."], slope: float = 0.2) -> Float[Array, "..."]:
    """(1 - slope) x sigmoid(x) + slope x."""
    return (1 - slope) * jax.nn.silu(x) + slope * x
