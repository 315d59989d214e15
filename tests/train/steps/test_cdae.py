"""CDAE on batches: its loss by loops for every setting, sampled negatives, pairs, AdaGrad, padding, learning."""

import functools
import itertools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.bounds import check_bounds
from train.devices import item_mesh, use_mesh
from train.errors import UserError
from train.item_shards import multi_hot, pad_items, partition
from train.steps import cdae
from train.steps.cdae import CDAEConfig, Noise
from train.steps.cdae_sequential import sequential_user_step

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


@pytest.mark.parametrize(
    ("case", "form"), [*((case, "used-rows") for case in CASES), ("M3", "all"), ("pairs", "all")]
)
def test_loss_is_a_sum_over_clicks_and_negatives(case, form):
    """And with two padded items, which take no part, everything but the padding stays as it is."""
    config = replace(CONFIG, **CASES[case], l2_form=form)
    params = params_of(config)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params, x, noise):
        return cdae.loss(params, x, USER, noise, config, ITEMS)

    (value, metrics), gradient = loss(params, X, NOISE)
    rows, squares = loop(params, config)
    if form == "all":
        squares = sum(np.sum(np.float64(leaf) ** 2) for leaf in params.values())
    np.testing.assert_allclose(metrics["reconstruction"], np.mean(rows), rtol=1e-5)
    np.testing.assert_allclose(metrics["l2"], squares, rtol=1e-5)
    np.testing.assert_allclose(value, np.mean(rows) + 0.0005 * squares, rtol=1e-5)

    (padded_value, _), padded = loss(*pad_items((params, X, NOISE), ITEMS, 12))
    np.testing.assert_allclose(padded_value, value, rtol=1e-5)
    chex.assert_trees_all_close(padded, pad_items(gradient, ITEMS, 12), rtol=1e-4, atol=1e-5)


def loop(params, config):
    """The loss of each user, and the mean over users of the squares of the rows in use, in float64."""
    p, rows, squares = {name: np.float64(leaf) for name, leaf in params.items()}, [], 0.0
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
        read = set(np.flatnonzero(inputs))
        squares += np.sum(p["bias"] ** 2) + (np.sum(p["users"][u] ** 2) if config.user_node else 0)

        def row(i, p=p):
            return np.sum(p["inputs" if config.tied else "outputs"][i] ** 2) + p["item_bias"][i] ** 2

        if config.pairwise:
            drawn = others[np.argsort(-uniform[others])][: config.negatives]
            rows.append(sum(loss(1, s[i] - s[j]) for i, j in itertools.product(clicks, drawn)))
            squares += sum(row(i) for i in (*clicks, *drawn)) + sum(np.sum(p["inputs"][i] ** 2) for i in read)
            continue
        rate = config.negatives * len(clicks) / len(others)
        times = {j: np.floor(rate + uniform[j]) if config.negatives else 1 for j in others}
        rows.append(sum(loss(1, s[i]) for i in clicks) + sum(times[j] * loss(-1, s[j]) for j in others))
        squares += sum(row(i) for i in clicks) + sum(times[j] * row(j) for j in others)
        in_loss = {*clicks, *(j for j in others if times[j])} if config.tied else set()
        squares += sum(np.sum(p["inputs"][i] ** 2) for i in read - in_loss)
    return rows, squares / USERS


@pytest.mark.parametrize("tied", [False, True])
def test_a_small_update_of_one_user_is_the_official_one(tied):
    """With steps so small that no row sees what another one changed, the gradient is the official update's."""
    config = replace(
        CONFIG, tied=tied, negatives=3, corruption_amount=0.4, l2=0.3, learning_rate=10, adagrad_beta=1e4
    )
    params, x = params_of(config), X[:1]
    noise = Noise(NOISE.input[:1], NOISE.negatives[:1])
    counts = np.asarray(cdae.weights(x, noise.negatives, config, ITEMS)[0], int)
    positives = np.flatnonzero(x[0])
    negatives = np.repeat(np.arange(ITEMS), np.where(np.asarray(x[0]) > 0, 0, counts))
    kept = np.asarray(noise.input[0] >= 0.4)[positives]
    assert kept.any() and not kept.all() and len(negatives) > len(set(negatives))
    zeros = {name: jnp.full_like(leaf, cdae.ACCUMULATOR) for name, leaf in params.items()}
    after, _ = jax.jit(sequential_user_step, static_argnums=6)(
        params, zeros, jnp.int32(0), *map(jnp.asarray, (positives, kept, negatives)), config
    )
    gradient = jax.grad(lambda p: cdae.loss(p, x, USER[:1], noise, config)[0])(params)
    official = jax.tree.map(lambda new, old: (old - new) * 1e3, after, params)
    chex.assert_trees_all_close(official, gradient, rtol=0.02, atol=0.01)


def test_a_rare_item_is_regularised_by_its_own_users_alone():
    """Its row decays in the updates that use it, with the strength that the row of a frequent item has there."""
    config = replace(CONFIG, negatives=1)
    x = jnp.zeros((20, ITEMS)).at[:, 0].set(1).at[0, 1].set(1)
    noise = Noise(jnp.ones_like(x), jnp.zeros_like(x))  # nothing is dropped, and no negative drawn
    params = params_of(config)

    def decay(form):
        def squares(params):
            return cdae.loss(params, x, jnp.zeros(20, int), noise, replace(config, l2_form=form))[1]["l2"]

        return jax.grad(squares)(params)["outputs"] / params["outputs"]

    np.testing.assert_allclose(decay("used-rows")[:, 0], 2 * np.r_[1, 1 / 20, np.zeros(8)], rtol=1e-5)
    np.testing.assert_allclose(decay("all"), 2, rtol=1e-5)


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


@pytest.mark.parametrize("changes", [{}, {"l2_form": "all"}, {"pairwise": True, "corruption": "gaussian"}])
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
        *(({name: "other"}, f"--model.{name}") for name in ("hidden", "loss", "corruption", "optimiser")),
        ({"l2_form": "dense"}, "--model.l2-form"),
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
        check_bounds(replace(CDAEConfig(), **change), "--model.")
        cdae.check(replace(CDAEConfig(), **change))
    assert error.value.field == flag


def test_without_a_click_no_item_is_in_a_pair():
    clicks = jnp.zeros((2, ITEMS)).at[0, 1].set(1.0)
    used = cdae.pair_rows(clicks, NOISE.negatives[:2], replace(CONFIG, pairwise=True, negatives=2), ITEMS)
    assert used.sum(1).tolist() == [3, 0]
