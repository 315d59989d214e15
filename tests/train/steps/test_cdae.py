"""CDAE on batches: its loss by loops for every setting, sampled negatives, pairs, AdaGrad, padding, learning."""

import functools
import itertools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.devices import item_mesh, use_mesh
from train.errors import UserError
from train.item_shards import multi_hot, pad_items, partition
from train.steps import cdae
from train.steps.cdae import CDAEConfig, Noise

USERS, ITEMS = 6, 10
CONFIG = CDAEConfig(latent_dim=3, learning_rate=0.1, l2=1e-3)
X = jnp.asarray(np.random.default_rng(0).random((USERS, ITEMS)) < 0.35, jnp.float32)
USER = jnp.arange(USERS)
NOISE = Noise(*jnp.asarray(np.random.default_rng(1).random((2, USERS, ITEMS)), jnp.float32))
LOSSES = {
    "square": lambda y, s: ((y > 0) - s) ** 2,
    "square-half": lambda y, s: ((y > 0) - s) ** 2 / 2,
    "ce": lambda y, s: np.log1p(np.exp(-y * s)),
    "log": lambda y, s: np.log1p(np.exp(-y * s)),
    "hinge": lambda y, s: max(0, 1 - y * s),
    "sqhinge": lambda y, s: max(0, 1 - y * s) ** 2 / 2,
}
CASES = {
    "M1": {"hidden": "identity", "loss": "square"},
    "M2": {"hidden": "identity", "loss": "ce"},
    "M3": {"hidden": "sigmoid", "loss": "square", "tied": True},
    "M4": {"hidden": "sigmoid", "loss": "ce", "user_node": False},
    "all items": {"negatives": 0, "loss": "square-half", "hidden": "tanh"},
    "gaussian": {"corruption": "gaussian", "corruption_amount": 0.3, "loss": "log"},
    "many negatives": {"negatives": 9, "loss": "hinge", "corruption_amount": 0.0},
    "pairs": {"pairwise": True, "negatives": 2, "loss": "log"},
    "few pairs": {"pairwise": True, "negatives": 9, "loss": "sqhinge"},
}


def params_of(config, seed=0):
    shapes = jax.eval_shape(lambda: cdae.init_state(jax.random.key(0), config, USERS, ITEMS).params)
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.standard_normal(leaf.shape), jnp.float32) for name, leaf in shapes.items()}


@pytest.mark.parametrize("case", CASES)
def test_loss_is_a_sum_over_clicks_and_negatives(case):
    """And with two padded items, which take no part, everything but the padding stays as it is."""
    config = replace(CONFIG, **CASES[case])
    params = params_of(config)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params, x, noise):
        return cdae.loss(params, x, USER, noise, config, ITEMS)

    (value, metrics), gradient = loss(params, X, NOISE)
    squares = sum(np.sum(np.float64(leaf) ** 2) for leaf in params.values())
    rows = loop(params, config)
    np.testing.assert_allclose(metrics["reconstruction"], np.mean(rows), rtol=1e-5)
    np.testing.assert_allclose(value, np.mean(rows) + 0.0005 * squares, rtol=1e-5)

    (padded_value, _), padded = loss(*pad_items((params, X, NOISE), ITEMS, 12))
    np.testing.assert_allclose(padded_value, value, rtol=1e-5)
    chex.assert_trees_all_close(padded, pad_items(gradient, ITEMS, 12), rtol=1e-4, atol=1e-5)


def loop(params, config):
    """Per user, in float64."""
    p, rows = {name: np.float64(leaf) for name, leaf in params.items()}, []
    h = {"identity": lambda a: a, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "tanh": np.tanh}[config.hidden]
    loss = LOSSES[config.loss]
    for u in range(USERS):
        x, uniform = np.float64(X[u]), np.float64(NOISE.negatives[u])
        if config.corruption == "mask":
            q = config.corruption_amount
            inputs = np.where(np.float64(NOISE.input[u]) >= q, x / (1 - q), 0)
        else:
            inputs = x + config.corruption_amount * np.float64(NOISE.input[u])
        z = h(inputs @ p["inputs"] + (p["users"][u] if config.user_node else 0) + p["bias"])
        s = p["inputs" if config.tied else "outputs"] @ z + p["item_bias"]
        clicks, others = np.flatnonzero(x), np.flatnonzero(x == 0)
        if config.pairwise:
            drawn = others[np.argsort(-uniform[others])][: config.negatives]
            rows.append(sum(loss(1, s[i] - s[j]) for i, j in itertools.product(clicks, drawn)))
            continue
        rate = config.negatives * len(clicks) / len(others)
        times = {j: np.floor(rate + uniform[j]) if config.negatives else 1 for j in others}
        rows.append(sum(loss(1, s[i]) for i in clicks) + sum(times[j] * loss(-1, s[j]) for j in others))
    return rows


@pytest.mark.parametrize("negatives", [1, 2, 30])
def test_sampled_negatives_are_as_many_as_the_official_ones_on_average(negatives):
    """Also where there are fewer items without a click than draws."""
    config = replace(CONFIG, negatives=negatives)
    x = jnp.asarray((np.arange(50) < 10)[None].repeat(300, 0), jnp.float32)
    counts = cdae.weights(x, jax.random.uniform(jax.random.key(0), x.shape), config, 50)
    np.testing.assert_array_equal(counts[:, :10], 1)
    np.testing.assert_allclose(counts[:, 10:].sum(1).mean(), 10 * negatives, rtol=0.03)


def test_users_who_clicked_everything():
    """They have no negatives, and nothing is divided by zero."""
    every = jnp.ones_like(X)
    np.testing.assert_array_equal(cdae.weights(every, NOISE.negatives, CONFIG, ITEMS), 1)
    pairs = cdae.pairwise_loss(every, every, NOISE.negatives, replace(CONFIG, pairwise=True), ITEMS)
    np.testing.assert_array_equal(pairs, 0)


def test_adagrad():
    """By hand: two updates of one parameter."""
    optimiser = cdae.adagrad(0.1, beta=0.5)
    state, theta, a = optimiser.init(jnp.asarray(1.0)), 1.0, 1e-4
    ours = jnp.asarray(1.0)
    for gradient in (0.3, -2.0):
        change, state = optimiser.update(jnp.asarray(gradient), state)
        ours, a = ours + change, a + gradient**2
        theta -= 0.1 * gradient / (np.sqrt(a) + 0.5)
        np.testing.assert_allclose(ours, theta, rtol=1e-6)


# Updates.


@jax.jit
@chex.assert_max_traces(n=1)
def step(state, batch):
    return cdae.train_step(state, batch, CONFIG)


@pytest.fixture(scope="module")
def start():
    return jax.jit(cdae.init_state, static_argnums=(1, 2, 3))(jax.random.key(0), CONFIG, USERS, ITEMS)


def test_step_is_pure_and_draws_anew(start):
    batch = {"x": X, "user": USER}
    first, metrics = step(start, batch)
    again, _ = step(start, batch)
    chex.assert_trees_all_equal(first.params, again.params)
    _, later = step(start.replace(step=first.step), batch)
    assert later["reconstruction"] != metrics["reconstruction"]
    assert first.step == 1 and set(metrics) == {"loss", "reconstruction", "l2"}


@pytest.mark.parametrize("changes", [{}, {"pairwise": True, "corruption": "gaussian"}])
def test_items_divided_over_devices(changes):
    """Losses of three updates on 4 x 2 devices, which pads an odd number of items, are those of one."""
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    items, config = 29, replace(CONFIG, **changes)
    clicks = np.random.default_rng(0).permuted(np.tile(np.arange(items), (8, 1)), axis=1)[:, :6]

    def losses(width):
        def start():
            return pad_items(cdae.init_state(jax.random.key(0), config, 8, items), items, width)

        def step(state):
            batch = {"x": multi_hot(clicks, width), "user": jnp.arange(8)}
            return cdae.train_step(state, batch, config, items)

        places = partition(jax.eval_shape(start), width)
        mesh = jax.sharding.get_abstract_mesh()
        state = jax.jit(start, out_shardings=None if mesh.empty else places)()
        update, history = jax.jit(step, out_shardings=None if mesh.empty else (places, None)), []
        for _ in range(3):
            state, metrics = update(state)
            history.append(metrics["loss"])
        return np.asarray(history)

    alone = losses(items)
    with use_mesh(item_mesh("data=4,items=2")):
        np.testing.assert_allclose(losses(items + 1), alone, rtol=1e-5)


def test_it_learns(start):
    """Two kinds of users: a stranger's single click raises the items of its kind."""
    rng, kind = np.random.default_rng(0), np.repeat([0, 1], 3)
    x = (rng.random((6, ITEMS)) < 0.7) * (np.arange(ITEMS) // 5 == kind[:, None])
    state, batch = start, {"x": jnp.asarray(x, jnp.float32), "user": USER}
    for _ in range(200):
        state, _ = step(state, batch)
    scores = np.asarray(cdae.scores(state.params, jnp.eye(ITEMS), jnp.full(ITEMS, -1), CONFIG))
    same = np.arange(ITEMS)[:, None] // 5 == np.arange(ITEMS) // 5
    assert scores[same].mean() > scores[~same].mean() + 1


def test_a_network_that_saw_no_click_scores_without_them():
    config = replace(CONFIG, corruption_amount=1.0)
    params = params_of(config)
    ours = cdae.scores(params, X, USER, config)
    np.testing.assert_array_equal(ours, cdae.scores(params, jnp.zeros_like(X), USER, config))
    assert np.any(ours != cdae.scores(params, X, USER, CONFIG))


# Settings.


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"latent_dim": 0}, "--model.latent-dim"),
        ({"corruption_amount": 1.1}, "--model.corruption-amount"),
        ({"corruption": "gaussian", "corruption_amount": -1.0}, "--model.corruption-amount"),
        ({"negatives": -1}, "--model.negatives"),
        ({"pairwise": True, "negatives": 0}, "--model.negatives"),
        ({"l2": -1.0}, "--model.l2"),
        ({"adagrad_beta": float("inf")}, "--model.adagrad-beta"),
        ({"learning_rate": 0.0}, "--model.learning-rate"),
    ],
)
def test_wrong_settings(change, flag):
    cdae.check(CDAEConfig())
    with pytest.raises(UserError) as error:
        cdae.check(replace(CDAEConfig(), **change))
    assert error.value.field == flag
