"""GWAE on eight devices gives the losses of one: pairwise term, critic and batch norms are over the global batch."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from train.devices import data_mesh, replicated, split, use_mesh
from train.steps import gwae, gwae_networks

CONFIG = gwae_networks.GWAEConfig(
    prior="factorised-neural", latent_dim=4, critic_steps=1, batch_norm=True, warmup_steps=100
)


def losses(mesh, config, steps, batch_size=8):
    images = np.random.default_rng(0).integers(0, 256, (steps, batch_size, 64, 64, 3), dtype=np.uint8)
    with use_mesh(mesh):
        state = jax.jit(functools.partial(gwae.init_state, config=config), out_shardings=replicated(mesh))(
            jax.random.key(0)
        )
        step = jax.jit(functools.partial(gwae.train_step, config=config), out_shardings=replicated(mesh))
        out = []
        for image in images:
            state, metrics = step(state, {"image": jax.device_put(image, split(mesh))})
            out.append([metrics["loss"], metrics["loss_gw"], metrics["loss_w"]])
    return np.asarray(out)


def compare(steps, rtol, config):
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    np.testing.assert_allclose(losses(data_mesh(), config, steps), losses(one, config, steps), rtol=rtol)


@pytest.mark.slow
def test_three_steps():
    compare(3, 1e-5, CONFIG)


@pytest.mark.slow
def test_four_steps_of_the_published_networks():
    compare(4, 1e-5, gwae_networks.GWAEConfig(prior="factorised-neural", latent_dim=10, warmup_steps=100))
