"""Instance normalisation without parameters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def instance_norm(x: Float[Array, "b h w c"], epsilon: float = 1e-5) -> Float[Array, "b h w c"]:
    """Every image and channel with mean 0 and (biased) variance 1 over its pixels, in train and eval mode alike."""
    values = x.astype(jnp.float32)
    mean = values.mean((1, 2), keepdims=True)
    variance = jnp.square(values - mean).mean((1, 2), keepdims=True)
    return ((values - mean) * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)
