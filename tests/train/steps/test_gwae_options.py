"""Every option of a GWAE update: shapes of all, finite numbers of a few, determinism, one trace."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.steps import gwae, gwae_networks

SMALL = gwae_networks.GWAEConfig(prior="normal", latent_dim=6, critic_steps=1, components=10)
OPTIONS = {
    "neural": {"prior": "neural"},
    "factorised neural": {"prior": "factorised-neural", "learned_similarity": True},
    "gaussian mixture": {"prior": "gaussian-mixture", "mixed_potential": True},
    "full mixture": {"prior": "gaussian-mixture", "mixture": "full", "batch_norm": True},
    "vector-quantised": {"prior": "vector-quantised", "residual_blocks": True},
    "normal, mmd": {"joint": "mmd"},
    "uniform": {"prior": "uniform", "latent_batch_norm": True},
    "spherical": {"prior": "spherical", "padding": "zeros"},
    "causal, all": {
        "prior": "causal",
        "learned_similarity": True,
        "mixed_potential": True,
        "batch_norm": True,
        "residual_blocks": True,
        "latent_batch_norm": True,
        "dtype": "bfloat16",
        "critic_steps": 2,
    },
}
"""Every prior, each with one more option: what they do to an update doesn't depend on each other. The last has all."""
STEPPED = {
    "factorised neural": {},
    **{name: {"joint": "mmd"} for name in ("full mixture", "vector-quantised", "uniform", "spherical")},
    "normal, mmd": {},
    "causal, all": {},
}
"""Of these the numbers of a step are looked at, of four without the critic, which takes most of the compilation and is
the same beside every prior. Those of the other two are the official code's (test_gwae)."""
CRITIC_METRICS = {"critic_loss", "critic_logits", "critic_penalty", "critic_gradient_norm"}


def mostly_slow(*quick, among=tuple(OPTIONS)):
    """Parameters of which all but a few are slow: each is a program of its own to compile."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in among]


def batch(seed=0):
    return {"image": np.random.default_rng(seed).integers(0, 256, (4, 64, 64, 3), np.uint8)}


def config_of(name):
    return dataclasses.replace(SMALL, **OPTIONS[name])


def stepped(name):
    return dataclasses.replace(config_of(name), **STEPPED[name])


@functools.cache
def compiled_step(name):
    """The jitted step of an option, which may be traced once."""

    def step(state, batch):
        return gwae.train_step(state, batch, stepped(name))

    chex.clear_trace_counter()  # chex counts by the name of the function
    return jax.jit(chex.assert_max_traces(step, n=1))


@pytest.mark.parametrize("name", mostly_slow("neural"))
def test_shapes(name):
    """A step keeps the shape and format of every array of the state; metrics are float32 scalars."""
    config = config_of(name)
    state = jax.eval_shape(lambda: gwae.init_state(jax.random.key(0), config))
    after, metrics = jax.eval_shape(functools.partial(gwae.train_step, config=config), state, batch())
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    assert {(m.shape, m.dtype) for m in metrics.values()} == {((), jnp.dtype(jnp.float32))}
    assert (metrics.keys() >= CRITIC_METRICS) == (config.joint == "critic")
    evaluated = jax.eval_shape(
        functools.partial(gwae.eval_step, config=config), state, batch(), jax.random.key(1)
    )
    assert evaluated.keys() >= {"loss", "loss_gw", "loss_w", "loss_d", "loss_h"}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPPED)
def test_one_step_is_finite_and_moves_every_parameter_that_has_a_gradient(name):
    config = stepped(name)
    state = gwae.init_state(jax.random.key(0), config)
    after, metrics = compiled_step(name)(state, batch())
    chex.assert_tree_all_finite((after.params, after.critic, after.collections, metrics))
    assert after.step == 1
    for module in ("encoder", "decoder"):
        moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), state.params[module], after.params[module])
        assert all(jax.tree.leaves(moved)), module
    assert after.params["log_scale"] != state.params["log_scale"]


@pytest.mark.slow
def test_step_is_a_function_of_key_and_step():
    """Deterministic, one trace for every step, and other noise at another step or from another key."""
    step = compiled_step("normal, mmd")
    state = gwae.init_state(jax.random.key(0), config_of("normal, mmd"))
    after, metrics = step(state, batch())
    again, _ = step(state, batch())
    chex.assert_trees_all_equal(after.params, again.params)
    _, later = step(state.replace(step=state.step + 1), batch())
    _, other = step(state.replace(key=jax.random.key(1)), batch())
    assert len({float(m["loss_gw"]) for m in (metrics, later, other)}) == 3
    step(after, batch(1))


@pytest.mark.parametrize("name", mostly_slow("neural", among=("neural", "gaussian mixture", "causal, all")))
def test_noise_of_one_update_is_all_different(name):
    """No draw is used twice: the first numbers of every normal array differ."""
    config = dataclasses.replace(config_of(name), critic_steps=3)
    noise = gwae.draw_noise(jax.random.key(0), 4, config)
    normals = [noise.posterior, noise.prior["normal"], *noise.critic.posterior, *noise.critic.prior["normal"]]
    first = [float(a[0, 0]) for a in normals]
    assert len(set(first)) == len(first) == 8
    assert noise.critic.t.shape == (3, 4)
    assert np.all((noise.critic.t >= 0) & (noise.critic.t < 1))
