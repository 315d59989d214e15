"""Initialisation of linear and convolution layers: PyTorch's default, and others that papers ask for."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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


def xavier_normal(gain: float) -> Callable[..., jax.Array]:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)), for kernels (Glorot & Bengio 2010)."""
    return jax.nn.initializers.variance_scaling(gain**2, "fan_avg", "normal")


ImageInit = Literal["xavier", "normal", "xavier_uniform", "kaiming", "orthogonal", "none"]


def image_initialiser(name: ImageInit, gain: float) -> Callable[..., jax.Array]:
    """The initialisations of pix2pix and its successors, for kernels (..., in, out); see `image_kernel`."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return image_kernel(jax.random.normal(key, shape, dtype), name, gain)

    return init


def image_kernel(numbers: Float[Array, "... i o"], name: ImageInit, gain: float) -> Float[Array, "... i o"]:
    """A kernel (..., in, out) made of standard normal numbers.

    `xavier`: N(0, gain^2 2 / (fan_in + fan_out)); `orthogonal`: orthonormal columns or rows, times the gain; `normal`:
    N(0, gain^2); `xavier_uniform`: of variance 2 / (fan_in + fan_out); `kaiming`: N(0, 2 / fan_in); `none`: torch's
    default, U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    """
    *window, inputs, outputs = numbers.shape
    area = math.prod(window)
    both = area * (inputs + outputs)
    match name:
        case "xavier":
            return gain * (2 / both) ** 0.5 * numbers
        case "normal":
            return gain * numbers
        case "xavier_uniform":
            return (6 / both) ** 0.5 * jax.lax.erf(numbers / 2**0.5)
        case "kaiming":
            return (2 / (area * inputs)) ** 0.5 * numbers
        case "orthogonal":
            return gain * _orthonormal(numbers.reshape(-1, outputs)).reshape(numbers.shape)
    return (area * inputs) ** -0.5 * jax.lax.erf(numbers / 2**0.5)


def _orthonormal(matrix: Float[Array, "m n"]) -> Float[Array, "m n"]:
    rows, columns = matrix.shape
    q, r = jnp.linalg.qr(matrix if rows >= columns else matrix.T)
    q = q * jnp.sign(jnp.diagonal(r))[None]
    return q if rows >= columns else q.T
