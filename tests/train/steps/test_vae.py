"""One update of the VAE: its loss from its terms, its schedule, and that it learns."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from objectives.elbo import kl_standard_normal, squared_error
from train.steps import vae
from train.steps.autoencoder import pixels

CONFIG = vae.VAEConfig(latent_dim=3, beta=2.0, beta_schedule="linear", beta_steps=10, learning_rate=1e-3)


def batch():
    return {"image": np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)}


def test_loss_is_reconstruction_plus_beta_kl_and_falls():
    state = jax.jit(functools.partial(vae.init_state, config=CONFIG))(jax.random.key(0))

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, batch):
        return vae.train_step(state, batch, CONFIG)

    noise = vae.draw_noise(jax.random.fold_in(state.key, state.step), 4, CONFIG)
    model, x = vae.autoencoder(CONFIG), pixels(jnp.asarray(batch()["image"]))
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


def test_batch_norm_keeps_running_statistics():
    config = vae.VAEConfig(latent_dim=3, batch_norm=True)
    state = jax.eval_shape(lambda: vae.init_state(jax.random.key(0), config))
    after, _ = jax.eval_shape(functools.partial(vae.train_step, config=config), state, batch())
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    assert "batch_stats" in state.collections["encoder"] and "batch_stats" in state.collections["decoder"]
