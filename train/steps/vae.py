"""The VAE (Kingma & Welling 2014) and the beta-VAE (Higgins et al. 2017) on GWAE's networks."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import jax.numpy as jnp

from objectives.elbo import BetaSchedule, beta_at, negative_elbo
from train.bounds import AtLeast
from train.networks import Networks
from train.steps.autoencoder import AutoencoderConfig
from train.steps.member import Loss, Member, autoencode, gaussian_member
from train.update import Given


@dataclass(frozen=True, kw_only=True)
class ELBOConfig(AutoencoderConfig):
    """Settings of how the weight of the KL term rises to its final value beta."""

    beta_schedule: BetaSchedule = "constant"
    """Schedule of beta."""
    beta_steps: Annotated[int, AtLeast(1)] = 10_000
    """Length of the schedule in updates."""


@dataclass(frozen=True, kw_only=True)
class VAEConfig(ELBOConfig):
    """Settings of the VAE, whose final beta is 1."""

    objective: Literal["vae"] = "vae"
    """The VAE."""


@dataclass(frozen=True, kw_only=True)
class BetaVAEConfig(ELBOConfig):
    """Settings of the beta-VAE."""

    objective: Literal["beta-vae"] = "beta-vae"
    """The beta-VAE."""
    beta: Annotated[float, AtLeast(0)] = 4.0
    """Final weight of the KL term."""


def member(config: VAEConfig | BetaVAEConfig) -> Member:
    """The system of these settings."""
    name = f"beta-VAE (beta {config.beta:g})" if isinstance(config, BetaVAEConfig) else "VAE"
    return gaussian_member(name, config, partial(loss, config=config))


def loss(networks: Networks, given: Given, config: VAEConfig | BetaVAEConfig) -> Loss:
    """Mean over the batch of R + beta KL; in evaluation at the final beta."""
    one = autoencode(networks, given.batch, given.noise)
    beta = config.beta if isinstance(config, BetaVAEConfig) else 1.0
    if given.step is not None:
        beta = beta_at(given.step, config.beta_schedule, beta, config.beta_steps)
    total = jnp.mean(negative_elbo(one.reconstruction, one.kl, beta))
    return Loss(total, {"loss": total, **one.terms, "beta": jnp.asarray(beta)})
