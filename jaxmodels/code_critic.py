"""A discriminator of codes, as FactorVAE (Kim & Mnih, ICML 2018) and adversarial autoencoders have it."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.dense import Dense


class CodeCritic(nn.Module):
    """Log-probabilities of two classes: codes [b, l] -> [b, 2] float32; leaky ReLU of slope 0.2 between layers."""

    hidden: tuple[int, ...] = (1000,) * 5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b l"], train: bool = False) -> Float[Array, "b 2"]:
        h = z
        for features in self.hidden:
            h = nn.leaky_relu(Dense(features, dtype=self.dtype)(h), 0.2)
        return jax.nn.log_softmax(Dense(2, dtype=self.dtype)(h).astype(jnp.float32))
