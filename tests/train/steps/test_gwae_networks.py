"""The networks that settings of GWAE describe."""

import functools
from typing import get_args

import jax
import jax.numpy as jnp
import pytest

from jaxmodels.priors import GaussianMixture, PriorName
from train.steps.gwae_networks import GWAEConfig, autoencoder, make_modules


@pytest.mark.parametrize("name", get_args(PriorName))
def test_every_prior_gives_codes_of_the_settings(name):
    config = GWAEConfig(prior=name, latent_dim=6, components=4)
    prior = make_modules(config)["prior"]
    codes = jax.eval_shape(
        lambda key: prior.init_with_output(key, prior.noise(key, 3), False)[0], jax.random.key(0)
    )
    assert codes.shape == (3, 6)


def test_mixture_takes_its_settings():
    prior = make_modules(GWAEConfig(prior="gaussian-mixture", components=4, mixture="full"))["prior"]
    assert isinstance(prior, GaussianMixture) and (prior.components, prior.mixture) == (4, "full")


@pytest.mark.parametrize(
    ("config", "normalised"), [(GWAEConfig(), False), (GWAEConfig(latent_batch_norm=True), True)]
)
def test_only_latent_batch_norm_keeps_statistics_of_codes(config, normalised):
    encoder = make_modules(config)["encoder"]
    init = functools.partial(encoder.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, 64, 64, 3)))
    assert ("batch_stats" in variables) == normalised


def test_networks_in_use_are_those_of_training():
    config = GWAEConfig(latent_dim=6)
    assert autoencoder(config).modules == make_modules(config)
