"""Spectral normalisation as the official PyTorch hook computes it (Miyato et al. 2018)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

COLLECTION = "spectral"


def spectral_norm(module: nn.Module, kernel: Float[Array, "... out"], train: bool) -> Float[Array, "... out"]:
    """The kernel divided by an estimate of its largest singular value, sigma = u^T W v.

    W is the kernel as a matrix (out, rest); the singular vectors u (out,) and v (rest,) live in the
    collection "spectral" of `module`. In train mode every call makes one power iteration before it
    computes sigma; in eval mode u and v are used as they are. u and v are constants to the gradient,
    sigma is differentiated with respect to the kernel.

    `flax.linen.SpectralNorm` is not used: it stores the normalised kernel, which changes the
    effective learning rate.
    """
    transposed = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.float32)  # W^T, which no copy is needed for
    u = module.variable(COLLECTION, "u", lambda: _random_unit(module.make_rng("params"), transposed.shape[1]))
    v = module.variable(COLLECTION, "v", lambda: _random_unit(module.make_rng("params"), transposed.shape[0]))
    if train and not module.is_initializing():
        frozen = jax.lax.stop_gradient(transposed)
        v.value = _unit(frozen @ u.value)
        u.value = _unit(v.value @ frozen)
    sigma = (v.value @ transposed) @ u.value
    return kernel / sigma.astype(kernel.dtype)


def _unit(x: Float[Array, " n"]) -> Float[Array, " n"]:
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)


def _random_unit(key: jax.Array, size: int) -> Float[Array, " n"]:
    return _unit(jax.random.normal(key, (size,)))
