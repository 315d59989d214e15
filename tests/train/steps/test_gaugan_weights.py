"""Official weights into states and out of them; test_gaugan.py imports its goldens by them."""

from functools import partial

import chex
import jax
import numpy as np
import pytest

from train.layout import Layout
from train.steps import gaugan
from train.steps.gaugan_networks import GauGANConfig
from train.steps.gaugan_weights import export_official, import_official, insert_official

LAYOUT = Layout(3, dont_care=False, instances=False, height=32, width=32)
TINY = GauGANConfig(
    width=1, hidden=2, discriminator_width=2, discriminators=1, vae=True, latent_dim=2, encoder_size=8
)


_init = jax.jit(partial(gaugan.init_state, config=TINY, layout=LAYOUT))


def fresh(seed: int) -> gaugan.GauGANState:
    return _init(jax.random.key(seed))


def networks(state: gaugan.GauGANState) -> tuple:
    return state.params, state.collections


def test_there_and_back() -> None:
    state, other = fresh(0), fresh(1)
    again = insert_official(other, export_official(state, TINY))
    chex.assert_trees_all_equal(networks(again), networks(state))
    chex.assert_trees_all_equal(again.optimisers, other.optimisers)


def test_a_part_of_the_networks() -> None:
    """What a state dict does not hold stays as it was."""
    state, other = fresh(0), fresh(1)
    some = {name: a for name, a in export_official(state, TINY).items() if name.startswith("discriminator_")}
    again = insert_official(other, some)
    for name, source in (("discriminator", state), ("generator", other), ("encoder", other)):
        chex.assert_trees_all_equal(again.params[name], source.params[name])
        chex.assert_trees_all_equal(again.collections[name], source.collections[name])


def test_weights_of_another_architecture_name_the_array() -> None:
    config = GauGANConfig(width=1, discriminator_width=2, generator="pix2pixhd")
    with pytest.raises(ValueError, match="weights of the encoder, which these settings do not have"):
        import_official({"encoder": {}}, jax.random.key(0), config, LAYOUT)
    name = "params/discriminator_0/model0/bias"
    short = {"discriminator": {"discriminator_0.model0.0.bias": np.zeros(3)}}
    with pytest.raises(ValueError, match=f"{name} has shape .2,. in these settings and .3,."):
        import_official(short, jax.random.key(0), config, LAYOUT)
    with pytest.raises(ValueError, match="there are none"):
        insert_official(fresh(0), {})
