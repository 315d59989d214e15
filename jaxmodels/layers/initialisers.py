"""Initialisation of linear and convolution layers: PyTorch's default, and others that papers ask for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def fan_in_uniform(fan_in: int) -> Callable[..., jax.Array]:
    """U(-1/sqrt(fan_in), +1/sqrt(fan_in)), for kernels and biases alike.

    Torch counts the fan-in of a transposed convolution from its output channels (specs of `UpConv`).
    """
    bound = fan_in**-0.5

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def xavier_uniform(gain: float) -> Callable[..., jax.Array]:
    """U(-b, b) with b = gain sqrt(6 / (fan_in + fan_out)), for kernels (Glorot & Bengio 2010)."""
    return jax.nn.initializers.variance_scaling(gain**2, "fan_avg", "uniform")
