"""The networks of Mult-VAE^PR and Mult-DAE (Liang, Krishnan, Hoffman & Jebara, WWW 2018).

A user is a row of clicks over all items. The encoder sees the row after `normalise` and, in training, `dropout`, in
this order; the decoder gives a logit per item. Nothing is tied.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxmodels.layers.initialisers import xavier_uniform

BIAS_DEVIATION = 1e-3
_BIAS = nn.initializers.truncated_normal(BIAS_DEVIATION)


def normalise(x: Float[Array, "b items"]) -> Float[Array, "b items"]:
    """x_u / ||x_u||_2, every user for itself; a row of zeros stays zeros."""
    return x / jnp.sqrt(jnp.maximum(jnp.sum(x**2, axis=-1, keepdims=True), 1e-12))


def dropout(h: Float[Array, "b items"], kept: Bool[Array, "b items"], keep: float) -> Float[Array, "b items"]:
    """What is kept, divided by the probability `keep` of being kept; zero elsewhere."""
    return jnp.where(kept, h / keep, 0.0)


class Encoder(nn.Module):
    """q(z|x) = N(mu, diag exp(logvar)) of Mult-VAE: [b, items] -> (mu, logvar), each [b, latent_dim]."""

    latent_dim: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, h: Float[Array, "b items"]) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        h = _layers(h, (*self.hidden, 2 * self.latent_dim))
        return h[:, : self.latent_dim], h[:, self.latent_dim :]


class DeterministicEncoder(nn.Module):
    """The code of Mult-DAE: [b, items] -> [b, latent_dim], with tanh after the code as well."""

    latent_dim: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, h: Float[Array, "b items"]) -> Float[Array, "b l"]:
        return nn.tanh(_layers(h, (*self.hidden, self.latent_dim)))


class Decoder(nn.Module):
    """Codes [b, latent_dim] -> logits of the items [b, items], linear after the last layer."""

    items: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Float[Array, "b l"]) -> Float[Array, "b items"]:
        return _layers(z, (*self.hidden, self.items))


def _layers(h: Float[Array, "b _"], sizes: Sequence[int]) -> Float[Array, "b _"]:
    """dense_0, dense_1, ... with tanh between them; Glorot uniform weights, biases close to zero."""
    for i, size in enumerate(sizes):
        h = nn.tanh(h) if i else h
        h = nn.Dense(size, kernel_init=xavier_uniform(1.0), bias_init=_BIAS, name=f"dense_{i}")(h)
    return h
