"""FactorVAE against the official package, and its second batch."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.train.steps import official_vae_family as official
from train.steps import factor_vae

CONFIG = factor_vae.FactorVAEConfig(latent_dim=10, batch_norm=True, gamma=0.1)
NAMES = {
    "loss": "loss",
    "loss_w": "loss_ae",
    "loss_kl": "loss_reg",
    "loss_tc": "loss_tc",
    "critic_loss": "loss_disc",
}


def noise_of(golden, stage):
    normal, uniform = (golden[f"{stage}/noise_{i:02}_{kind}"] for i, kind in enumerate(("normal", "uniform")))
    return {"main": jnp.asarray(normal), "critic": {"uniform": jnp.asarray(uniform)}}


def test_official_step(shared):
    golden, member = official.read(shared, "factorvae"), factor_vae.member(CONFIG)
    state = official.official_state("factorvae", member)
    official.check_networks(golden, member, state)
    x = official.images(golden["x"])

    metrics = jax.jit(member._turns.evaluate)(state, x, noise_of(golden, "eval"))
    official.check_losses(golden, "eval", metrics, NAMES)

    after, metrics = jax.jit(member.update)(state, x, noise_of(golden, "train"))
    official.check_losses(golden, "train", metrics, NAMES)
    assert official.check_gradients(golden, member, after) == 42
    assert official.check_gradients(golden, member, after, "critic") == 12
    assert official.check_update(golden, member, after) == 42 + 12 + 18


def test_a_second_batch_trains_the_discriminator_alone():
    """The first half makes the VAE's loss; of the second only the permuted codes come."""
    config = factor_vae.FactorVAEConfig(latent_dim=3, second_batch=True)
    member = factor_vae.member(config)
    state = jax.jit(member.init)(jax.random.key(0))
    noise = member.draw(jax.random.key(1), 8)
    assert noise["main"].shape == noise["critic"]["posterior"].shape == (4, 3)
    x = jnp.asarray(np.random.default_rng(0).random((8, 64, 64, 3)), jnp.float32)
    evaluate = jax.jit(member._turns.evaluate)
    one, other = evaluate(state, x, noise), evaluate(state, x.at[4:].set(0.5), noise)
    same = {name for name in one if one[name] == other[name]}
    assert same == {"loss", "loss_w", "loss_kl", "loss_tc"}
