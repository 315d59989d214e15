"""A task small enough to compile in a moment: noisy regression on a source of uint8 numbers."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.data.source import ArraySource
from train.devices import across_devices, replicated
from train.feed import make_feed
from train.seeds import seed_keys
from train.task import Task

OPTIMISER = optax.rmsprop(1e-2)


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict
    optimiser: tuple
    key: jax.Array


def init(key):
    weights_key, run_key = jax.random.split(key)
    params = {"w": jax.random.normal(weights_key, (4,))}
    return State(jnp.zeros((), jnp.int32), params, OPTIMISER.init(params), run_key)


def loss(params, x, noise):
    prediction = x @ params["w"]
    spread = jnp.abs(prediction[:, None] - prediction[None])
    return jnp.mean((prediction - 1 + 0.1 * noise) ** 2) + 0.01 * jnp.mean(spread)


def train_step(state, batch, poison=-1):
    x = batch["image"].astype(jnp.float32).reshape(-1, 4) / 255
    noise = across_devices(jax.random.normal(jax.random.fold_in(state.key, state.step), (len(x),)))
    value, gradient = jax.value_and_grad(loss)(state.params, x, noise)
    updates, optimiser = OPTIMISER.update(gradient, state.optimiser)
    state = state.replace(
        step=state.step + 1, params=optax.apply_updates(state.params, updates), optimiser=optimiser
    )
    value = jnp.where(state.step == poison, jnp.nan, value)
    return state, {"loss": value, "gradient_norm": optax.tree.norm(gradient)}


def eval_step(state, batch, key):
    x = batch["image"].astype(jnp.float32).reshape(-1, 4) / 255
    return {"loss": loss(state.params, x, jnp.zeros(len(x)))}


TASK = Task(init, train_step, lambda state: state.params, eval_step)


def source(rows=100):
    images = np.random.default_rng(0).integers(0, 256, (rows, 2, 2, 1), dtype=np.uint8)
    return ArraySource("toy", {"image": images})


def inputs(mesh, config, seeds=1, first_seed=0, device_bytes=10**9):
    """Feed, validation batches and keys."""
    data, keys = source(), seed_keys(first_seed, seeds)
    rows = np.arange(80, dtype=np.int32)
    feed = make_feed(data, rows, config.batch_size, keys, mesh, config.inner_steps, device_bytes)
    validation = {"image": jax.device_put(data[np.arange(80, 96)]["image"][None], replicated(mesh))}
    return feed, validation, keys
