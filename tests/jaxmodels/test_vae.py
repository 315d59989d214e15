"""Reparameterisation."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.vae import reparameterise


def test_value_and_gradient():
    mu, logvar, noise = jnp.asarray([[1.0]]), jnp.asarray([[np.log(4.0)]], jnp.float32), jnp.asarray([[0.5]])
    np.testing.assert_allclose(reparameterise(mu, logvar, noise), [[2.0]], rtol=1e-6)
    gradient = jax.grad(lambda s: reparameterise(mu, s, noise).sum())(logvar)
    np.testing.assert_allclose(gradient, [[0.5]], rtol=1e-6)
