"""DIP-VAE I and II against the official package: networks, loss, gradients, one update; and its covariances."""

import jax
import jax.numpy as jnp
import pytest

from tests.train.steps import official_vae_family as official
from train.steps import dip_vae

CONFIGS = {
    "dipvaei": dip_vae.DIPVAEConfig(latent_dim=10, batch_norm=True, diagonal=1.0),
    "dipvaeii": dip_vae.DIPVAEConfig(
        latent_dim=10, batch_norm=True, covariance="codes", off_diagonal=10.0, diagonal=1.0
    ),
}
NAMES = {
    "loss": "loss",
    "loss_w": "loss_ae",
    "loss_kl": "loss_reg",
    "loss_off_diagonal": "loss_lod",
    "loss_diagonal": "loss_ld",
}


@pytest.mark.parametrize("name", ["dipvaei", pytest.param("dipvaeii", marks=pytest.mark.slow)])
def test_official_step(name, shared):
    golden, member = official.read(shared, name), dip_vae.member(CONFIGS[name])
    state = official.official_state(name, member)
    official.check_networks(golden, member, state)
    x = official.images(golden["x"])

    # Of codes, the official means in eval mode lie so close together that little of this is left: see the README.
    noise = {"main": jnp.asarray(golden["eval/noise_00_normal"])}
    metrics = jax.jit(member._turns.evaluate)(state, x, noise)
    official.check_losses(golden, "eval", metrics, NAMES, loss_off_diagonal=2e-4)

    noise = {"main": jnp.asarray(golden["train/noise_00_normal"])}
    after, metrics = jax.jit(member.update)(state, x, noise)
    official.check_losses(golden, "train", metrics, NAMES)
    assert official.check_gradients(golden, member, after) == 42
    assert official.check_update(golden, member, after) == 42 + 18
