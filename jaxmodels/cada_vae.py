"""The networks of CADA-VAE (Schoenfeld et al., CVPR 2019): one VAE per modality, and the classifier on their latents.

The paper samples as every VAE does. The official code scales the noise by the variance instead of the standard
deviation, and draws one number per example for all latent dimensions; the published results are that code's, so
both noise laws are here.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.initialisers import xavier_uniform

NoiseLaw = Literal["official", "standard"]
GAIN = 0.5


def _linear(features: int, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=xavier_uniform(GAIN), name=name)


class Encoder(nn.Module):
    """q(z|x) = N(mu, diag exp(logvar)): [b, d] -> (mu, logvar), each [b, latent_dim]; ReLU after hidden layers."""

    latent_dim: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        h = x
        for i, features in enumerate(self.hidden):
            h = nn.relu(_linear(features, f"hidden_{i}")(h))
        return _linear(self.latent_dim, "mu")(h), _linear(self.latent_dim, "logvar")(h)


class Decoder(nn.Module):
    """Codes [..., latent_dim] -> features of the modality [..., features], through one hidden layer with ReLU."""

    features: int
    hidden: int

    @nn.compact
    def __call__(self, z: Float[Array, "... l"]) -> Float[Array, "... d"]:
        return _linear(self.features, "out")(nn.relu(_linear(self.hidden, "hidden_0")(z)))


class Classifier(nn.Module):
    """Codes [b, latent_dim] -> logits [b, classes], linear."""

    classes: int

    @nn.compact
    def __call__(self, z: Float[Array, "b l"]) -> Float[Array, "b k"]:
        return _linear(self.classes, "logits")(z)


def noise_width(law: NoiseLaw, latent_dim: int) -> int:
    """Random numbers per example."""
    return 1 if law == "official" else latent_dim


def reparameterise(
    mu: Float[Array, "b l"], logvar: Float[Array, "b l"], noise: Float[Array, "b w"], law: NoiseLaw
) -> Float[Array, "b l"]:
    """A latent sample from standard normal noise.

    Args:
      mu: posterior mean.
      logvar: posterior log variance.
      noise: [b, `noise_width`].
      law: `official`: mu + exp(logvar) eps with one eps per example; `standard`: N(mu, diag exp(logvar)).

    Raises:
      ValueError: the noise is not of the law's width, or the law is unknown.
    """
    if noise.shape[-1] != noise_width(law, mu.shape[-1]):
        raise ValueError(f"noise of the law {law} cannot have shape {noise.shape}")
    match law:
        case "official":
            return mu + jnp.exp(logvar) * noise
        case "standard":
            return mu + jnp.exp(logvar / 2) * noise
    raise ValueError(f"noise {law!r} is unknown: choose official or standard")
