"""DIP-VAE (Kumar, Sattigeri & Balakrishnan, ICLR 2018): R + KL + penalties of codes whose covariance is not I."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import jax.numpy as jnp

from objectives.disentangled_prior import covariance_of_codes, covariance_of_means, diagonal, off_diagonal
from train.bounds import AtLeast
from train.networks import Networks
from train.steps.autoencoder import AutoencoderConfig
from train.steps.member import Loss, Member, autoencode, gaussian_member
from train.update import Given


@dataclass(frozen=True, kw_only=True)
class DIPVAEConfig(AutoencoderConfig):
    """Settings of DIP-VAE."""

    objective: Literal["dip-vae"] = "dip-vae"
    """DIP-VAE."""
    covariance: Literal["means", "codes"] = "means"
    """Of the posterior means (DIP-VAE I), or of the codes (DIP-VAE II)."""
    off_diagonal: Annotated[float, AtLeast(0)] = 1.0
    """Weight of the squares off the diagonal; on CelebA the official GWAE package has 1 for form I, 10 for form II."""
    diagonal: Annotated[float, AtLeast(0)] = 1.0
    """Weight of the squares of the diagonal less 1; 1 for both forms there."""


def member(config: DIPVAEConfig) -> Member:
    """The system of these settings."""
    name = "DIP-VAE I" if config.covariance == "means" else "DIP-VAE II"
    return gaussian_member(name, config, partial(loss, config=config))


def loss(networks: Networks, given: Given, config: DIPVAEConfig) -> Loss:
    """Mean over the batch of R + KL, + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2."""
    one = autoencode(networks, given.batch, given.noise)
    of_means = config.covariance == "means"
    covariance = covariance_of_means(one.mu) if of_means else covariance_of_codes(one.mu, one.logvar)
    penalties = {"loss_off_diagonal": off_diagonal(covariance), "loss_diagonal": diagonal(covariance)}
    total = jnp.mean(one.reconstruction + one.kl)
    total += config.off_diagonal * penalties["loss_off_diagonal"]
    total += config.diagonal * penalties["loss_diagonal"]
    return Loss(total, {"loss": total, **one.terms, **penalties})
