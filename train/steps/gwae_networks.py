"""The settings of GWAE, and the networks that they describe."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxmodels.gwae import Critic
from jaxmodels.priors import Prior, PriorName, make_prior
from train.bounds import AtLeast, Positive
from train.steps.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    decoder,
    encoder,
)

MOMENTUM = 0.5


@dataclass(frozen=True, kw_only=True)
class GWAEConfig(AutoencoderConfig):
    """Settings of GWAE; the defaults are those of the official code."""

    objective: Literal["gwae"] = "gwae"
    """GWAE."""
    prior: PriorName = "neural"
    """Sampler of codes."""
    components: Annotated[int, AtLeast(1)] = 10
    """Gaussians of the mixture prior, or rows of the codebook of the vector-quantised one."""
    mixture: Literal["coded", "full"] = "coded"
    """Mixture prior: column sums of the matrices as in the official code, or full covariances as in the paper."""
    coef_w: Annotated[float, AtLeast(0)] = 1.0
    """Weight of the reconstruction term L_W."""
    coef_d: Annotated[float, AtLeast(0)] = 1.0
    """Weight of the term L_D that makes the joint distributions of model and data alike."""
    coef_h: Annotated[float, AtLeast(0)] = 0.03
    """Weight of the (negative) entropy term L_H."""
    distance_scale: Annotated[float, Positive()] = 2.5
    """Initial value of the trainable scale between latent and image distances."""
    joint: Literal["critic", "mmd"] = "critic"
    """L_D: a Kantorovich potential of images and codes, or the MMD between codes and prior."""
    critic_learning_rate: Annotated[float, Positive()] = 1e-4
    """Learning rate of the critic."""
    critic_steps: Annotated[int, AtLeast(1)] = 5
    """Critic updates for each main update."""
    gradient_penalty: Annotated[float, AtLeast(0)] = 10.0
    """Weight of the critic's gradient penalty."""
    learned_similarity: bool = False
    """Adds to L_W the distance of reconstructions in the critic's image features."""
    mixed_potential: bool = False
    """The critic also judges reconstructions."""
    latent_batch_norm: bool = False
    """Standardises the aggregate posterior."""


def make_modules(config: GWAEConfig) -> dict[str, nn.Module]:
    """The four networks of these settings."""
    return {
        "encoder": encoder(config, MOMENTUM, config.latent_batch_norm),
        "decoder": decoder(config, MOMENTUM),
        "prior": prior(config),
        "critic": Critic(jnp.dtype(config.dtype)),
    }


def autoencoder(config: GWAEConfig) -> Autoencoder:
    """The networks of these settings for use after training."""
    return Autoencoder(make_modules(config), prior(config))


def prior(config: GWAEConfig) -> Prior:
    """The prior of these settings."""
    return make_prior(config.prior, config.latent_dim, config.components, config.mixture)
