"""Penalties that make the covariance of codes the identity (Kumar, Sattigeri & Balakrishnan, ICLR 2018: DIP-VAE)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def covariance_of_means(mu: Float[Array, "b l"]) -> Float[Array, "l l"]:
    """Cov(mu(x)) over the batch, biased: a function of the set (DIP-VAE I)."""
    centred = mu - jnp.mean(mu, axis=0, keepdims=True)
    return centred.T @ centred / len(mu)


def covariance_of_codes(mu: Float[Array, "b l"], logvar: Float[Array, "b l"]) -> Float[Array, "l l"]:
    """Cov(z) = E diag e^s + Cov(mu) of the aggregate posterior over the batch (DIP-VAE II)."""
    return covariance_of_means(mu) + jnp.diag(jnp.mean(jnp.exp(logvar), axis=0))


def off_diagonal(covariance: Float[Array, "l l"]) -> Float[Array, ""]:
    """sum_{i != j} C_ij^2."""
    return jnp.sum((covariance * (1 - jnp.eye(len(covariance)))) ** 2)


def diagonal(covariance: Float[Array, "l l"]) -> Float[Array, ""]:
    """sum_i (C_ii - 1)^2."""
    return jnp.sum((jnp.diagonal(covariance) - 1) ** 2)
