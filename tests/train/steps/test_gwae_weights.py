"""Official weights of GWAE: there and back, and those of other settings."""

import dataclasses
import functools

import chex
import jax
import numpy as np
import pytest

from jaxmodels.torch_import.gwae import export_state_dict
from train.steps import gwae, gwae_weights
from train.steps.gwae_networks import GWAEConfig

CONFIG = GWAEConfig(prior="normal", latent_dim=6, critic_steps=1)


@pytest.fixture(scope="module")
def state():
    """A state of numbers that no initialisation draws."""
    shapes = jax.eval_shape(functools.partial(gwae.init_state, config=CONFIG), jax.random.key(0))
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype)  # noqa: E731
    parts = {name: jax.tree.map(draw, getattr(shapes, name)) for name in ("params", "critic", "collections")}
    return gwae.fresh_state(**parts, key=jax.random.key(1), config=CONFIG)


def test_there_and_back(state):
    official = export_state_dict(state.params, state.critic, state.collections, "normal")
    imported = gwae_weights.import_official(official, state.key, CONFIG)
    chex.assert_trees_all_equal(imported.replace(key=0), state.replace(key=0))
    np.testing.assert_array_equal(jax.random.key_data(imported.key), jax.random.key_data(state.key))
    assert imported.step == 0


def test_other_settings_are_an_error(state):
    official = export_state_dict(state.params, state.critic, state.collections, "normal")
    with pytest.raises(ValueError, match="has shape"):
        gwae_weights.import_official(official, state.key, dataclasses.replace(CONFIG, latent_dim=7))
