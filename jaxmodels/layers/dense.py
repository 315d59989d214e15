"""Linear layer with torch's default initialisation and optional spectral normalisation."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.initialisers import fan_in_uniform
from jaxmodels.layers.spectral_norm import spectral_norm


class Dense(nn.Module):
    """x W + b on the last axis: [..., c] -> [..., features]. Also the 1x1 convolution of NHWC images."""

    features: int
    spectral: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... c"], train: bool = False) -> Float[Array, "... f"]:
        size = x.shape[-1]
        kernel = self.param("kernel", fan_in_uniform(size), (size, self.features))
        bias = self.param("bias", fan_in_uniform(size), (self.features,))
        if self.spectral:
            kernel = spectral_norm(self, kernel, train)
        out = x.astype(self.dtype) @ kernel.astype(self.dtype)
        return out + bias.astype(self.dtype).reshape((1,) * (out.ndim - 1) + (-1,))
