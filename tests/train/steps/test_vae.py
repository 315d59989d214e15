"""The VAE and the beta-VAE: the official package's step, the loss from its terms, its schedule, and that it learns."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.elbo import kl_standard_normal, squared_error
from tests.train.steps import official_vae_family as official
from train.steps import vae
from train.steps.autoencoder import pixels
from train.update import Given, noise_key

CONFIG = vae.BetaVAEConfig(latent_dim=3, beta=2.0, beta_schedule="linear", beta_steps=10, learning_rate=1e-3)
OFFICIAL = {
    "vae": vae.VAEConfig(latent_dim=10, batch_norm=True),
    "bvae": vae.BetaVAEConfig(latent_dim=10, batch_norm=True, beta=0.1),
}


def batch():
    return {"image": np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)}


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_step(name, shared):
    """Of the VAE, the second step too, as its losses show."""
    golden, member = official.read(shared, name), vae.member(OFFICIAL[name])
    state, names = (
        official.official_state(name, member),
        {"loss": "loss", "loss_w": "loss_ae", "loss_kl": "loss_reg"},
    )
    official.check_networks(golden, member, state)
    update = jax.jit(member.update)
    for stage, x in (("train", "x"), ("train1", "x1")):
        if f"{stage}/loss/loss" not in golden:
            continue
        noise = {"main": jnp.asarray(golden[f"{stage}/noise_00_normal"])}
        state, metrics = update(state, official.images(golden[x]), noise)
        official.check_losses(golden, stage, metrics, names)
        if stage == "train":
            assert official.check_gradients(golden, member, state) == 42
            if name != "vae":
                assert official.check_update(golden, member, state) == 42 + 18


def test_loss_is_reconstruction_plus_beta_kl_and_falls():
    member = vae.member(CONFIG)
    state = jax.jit(member.init)(jax.random.key(0))
    step = jax.jit(chex.assert_max_traces(member.train_step, n=1))

    noise = member.draw(noise_key(state), 4)["main"]
    model, x = member.autoencoder, pixels(jnp.asarray(batch()["image"]))
    mu, logvar = jax.jit(model.encode)(state, batch()["image"])
    reconstruction = jax.jit(model.decode)(state, mu + jnp.exp(logvar / 2) * noise)
    state, first = step(state, batch())
    assert first["beta"] == 0
    np.testing.assert_allclose(first["loss_kl"], kl_standard_normal(mu, logvar).mean(), rtol=1e-4)
    np.testing.assert_allclose(first["loss"], squared_error(x, reconstruction).mean(), rtol=1e-5)
    for _ in range(10):
        state, last = step(state, batch())
    assert last["beta"] == 2.0
    np.testing.assert_allclose(last["loss"], last["loss_w"] + 2 * last["loss_kl"], rtol=1e-6)
    assert last["loss"] < first["loss"]


def test_final_betas():
    mu, logvar, x = jnp.asarray([[1.0, 2.0]]), jnp.asarray([[0.5, -1.0]]), jnp.full((1, 2, 2, 3), 0.5)
    networks = {"encoder": lambda x: (mu, logvar), "decoder": lambda z: jnp.zeros_like(x)}

    def loss_of(config, step=None):
        given = Given(x, jnp.zeros((1, 2)), {}, step, None)
        return vae.loss(lambda name, inputs: networks[name](inputs), given, config).value

    kl = 0.5 * (1 + 4 + np.exp(0.5) + np.exp(-1) + 0.5 - 2)
    np.testing.assert_allclose(loss_of(vae.VAEConfig()), 0.5 * 12 * 0.25 + kl, rtol=1e-6)
    assert loss_of(vae.VAEConfig()) == loss_of(vae.BetaVAEConfig(beta=1.0))
    annealed = vae.BetaVAEConfig(beta=3.0, beta_schedule="linear", beta_steps=4)
    np.testing.assert_allclose(loss_of(annealed), 1.5 + 3 * kl, rtol=1e-6)
    np.testing.assert_allclose(loss_of(annealed, step=jnp.int32(2)), 1.5 + 1.5 * kl, rtol=1e-6)


def test_batch_norm_keeps_running_statistics():
    member = vae.member(vae.VAEConfig(latent_dim=3, batch_norm=True))
    state = jax.eval_shape(member.init, jax.random.key(0))
    after, _ = jax.eval_shape(member.train_step, state, batch())
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    assert "batch_stats" in state.collections["encoder"] and "batch_stats" in state.collections["decoder"]
