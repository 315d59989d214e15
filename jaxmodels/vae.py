"""Reparameterisation: what every Gaussian autoencoder on the networks of `jaxmodels.gwae` shares."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def reparameterise(
    mu: Float[Array, "b l"], logvar: Float[Array, "b l"], noise: Float[Array, "b l"]
) -> Float[Array, "b l"]:
    """A sample of N(mu, diag exp(logvar)) that is differentiable in both, from standard normal noise."""
    return mu + jnp.exp(logvar / 2) * noise
