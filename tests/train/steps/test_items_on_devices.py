"""Mult-VAE with its items divided over devices: the losses and metrics of one device, and no whole row anywhere."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import item_shards
from train.devices import item_mesh, replicated, use_mesh
from train.metrics.ranking import rank_metrics
from train.steps import mult_vae

ITEMS = 211
CONFIG = mult_vae.MultVAEConfig(latent_dim=3, hidden=(5,), keep=1.0, l2=1e-3, beta=0.2, anneal_steps=4)
CLICKS = np.random.default_rng(0).permuted(np.tile(np.arange(ITEMS), (8, 1)), axis=1)[:, :30]
ONE = jax.make_mesh((1, 1), ("data", "items"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
pytestmark = pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")


def programs(parts):
    """Start, update and ranking with the items in so many parts."""
    width = item_shards.padded(ITEMS, parts)

    def start(key):
        return item_shards.pad_items(mult_vae.init_state(key, CONFIG, ITEMS), ITEMS, width)

    def update(state, given):
        x = item_shards.multi_hot(jnp.where(given < ITEMS, given, width), width)
        noise = mult_vae.Noise(jnp.ones(x.shape, bool), jnp.zeros((len(x), CONFIG.latent_dim)))
        return mult_vae.update(state, x, noise, CONFIG, ITEMS)

    def rank(state, given, held):
        x, held = item_shards.multi_hot(given, width), item_shards.multi_hot(held, width)
        return rank_metrics(mult_vae.scores(state.params, x, CONFIG), x, held, (5, 20), ITEMS)

    return start, update, rank, width


def outcome(mesh, parts):
    start, update, rank, width = programs(parts)
    with use_mesh(mesh):
        specs = item_shards.partition(jax.eval_shape(start, jax.random.key(0)), width)
        places = jax.tree.map(partial(jax.sharding.NamedSharding, mesh), specs)
        state = jax.jit(start, out_shardings=places)(jax.random.key(0))
        step = jax.jit(update, out_shardings=(places, replicated(mesh)))
        losses = []
        for _ in range(3):
            state, metrics = step(state, CLICKS)
            losses.append(metrics["loss"])
        ranked = jax.jit(rank)
        metrics = ranked(state, CLICKS[:, :20], CLICKS[:, 20:])
        texts = [step.lower(state, CLICKS).compile().as_text()]
        texts.append(ranked.lower(state, CLICKS[:, :20], CLICKS[:, 20:]).compile().as_text())
    return np.asarray(losses), metrics, texts


@pytest.mark.slow
def test_losses_and_metrics_are_those_of_one_device_and_no_device_holds_a_whole_row():
    losses, metrics, _ = outcome(ONE, 1)
    for shape, parts in (("data=4,items=2", 2), ("items=8", 8)):
        got, got_metrics, texts = outcome(item_mesh(shape), parts)
        np.testing.assert_allclose(got, losses, rtol=1e-5)
        for name, value in metrics.items():
            np.testing.assert_allclose(got_metrics[name], value, rtol=1e-5, err_msg=name)
        width = item_shards.padded(ITEMS, parts)
        for text in texts:
            sizes = {int(size) for shape in re.findall(r"\[([\d,]+)\]", text) for size in shape.split(",")}
            assert width // parts in sizes and width not in sizes
