"""Updates of BPR-MF, VBPR and DeepStyle: reference gradients, penalties by hand, runs that learn."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmodels.visual_recommenders import Catalogue, ItemVectors
from objectives.ranking import bpr_pairs
from train.bounds import check_bounds
from train.data.interactions import from_pairs
from train.devices import data_mesh, replicated, split, use_mesh
from train.errors import UserError
from train.seeds import seed_keys
from train.steps import visual_recommenders as visual
from train.steps.uniform_negatives import Records, records
from train.steps.visual_recommenders import Batch, Sizes, VisualConfig

KINDS = ("bpr-mf", "vbpr", "deepstyle")
RENAMED = {"beta_f": "beta_vis", "p_u": "gamma_u", "q_i": "gamma_i", "l_c": "cat_emb"}
SIZES = Sizes(users=7, items=12, features=9, categories=3)
CONFIG = VisualConfig(factors=4, visual_factors=2, l2_factors=0.3, l2_biases=0.2, l2_visual=0.1)


def golden(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        return {key[4:]: archive[key] for key in archive.files if key.startswith("vis/")}


def make_batch(seed=0, size=16, kinds=1):
    """Users with one to four items each, and a batch of their pairs."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(SIZES.users), rng.integers(1, 5, SIZES.users))
    matrix, _ = from_pairs(user, rng.integers(0, SIZES.items, len(user)), (SIZES.users, SIZES.items))
    categories = rng.integers(0, 3, (SIZES.items, kinds)).astype(np.int32)
    catalogue = Catalogue(jnp.float32(rng.random((SIZES.items, SIZES.features))), jnp.asarray(categories))
    row = rng.integers(0, matrix.nnz, size)
    users = np.repeat(np.arange(SIZES.users), np.diff(matrix.indptr)).astype(np.int32)
    seen = Records(*map(jnp.asarray, records(matrix)))
    return Batch(jnp.asarray(users[row]), jnp.asarray(matrix.indices[row]), catalogue, seen)


def unit_params(config, seed=0):
    """Parameters of unit size, also those that start at 0."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: visual.init_state(jax.random.key(0), config, SIZES)).params
    return {name: jnp.float32(rng.normal(size=a.shape)) for name, a in shapes.items()}


@pytest.mark.parametrize("kind", ["vbpr", "deepstyle"])
def test_reference(kind, shared):
    """Rows of BPR at 1e-5 relative, and the gradients of their sum at 1e-5 of the largest entry."""
    gold = golden(shared)
    config = replace(CONFIG, kind=kind, factors=8 if kind == "vbpr" else 4, visual_factors=4)
    names = jax.eval_shape(lambda: visual.init_state(jax.random.key(0), config, SIZES)).params
    params = {name: jnp.float32(gold[RENAMED.get(name, name)]) for name in names}
    catalogue = Catalogue(jnp.float32(gold["feat"]), jnp.int32(gold["cat"])[:, None])
    user, positive, negative = (jnp.int32(gold[key]) for key in ("u", "pos", "neg"))

    def rows(params):
        x_i, x_j = (visual.score(params, user, i, catalogue, config, SIZES) for i in (positive, negative))
        return bpr_pairs(x_i, x_j)

    np.testing.assert_allclose(jax.jit(rows)(params), gold[f"{kind}/bpr_rows"], rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda params: rows(params).sum()))(params)
    for name, ours in gradient.items():
        expected = gold[f"{kind}/grad_{RENAMED.get(name, name)}"]
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=atol, err_msg=name)
    # The step's loss is their mean, where nothing is penalised.
    free = replace(config, l2_factors=0.0, l2_biases=0.0, l2_visual=0.0)
    batch = Batch(user, positive, catalogue, make_batch().seen)
    total, _ = jax.jit(lambda p: visual.loss(p, batch, negative, free, SIZES))(params)
    np.testing.assert_allclose(total, gold[f"{kind}/bpr_rows"].mean(), rtol=1e-5)
    summed, _ = jax.jit(lambda p: visual.loss(p, batch, negative, replace(free, reduction="sum"), SIZES))(
        params
    )
    np.testing.assert_allclose(summed, gold[f"{kind}/bpr_rows"].sum(), rtol=1e-5)


def penalty_by_hand(params, u, i, j, categories, config):
    p = {name: np.float64(table) for name, table in params.items()}
    total = 0.0
    for name in {"gamma_u", "theta_u", "p_u"} & p.keys():
        total += config.l2_factors * (p[name][u] ** 2).sum()
    for name in {"gamma_i", "q_i"} & p.keys():
        total += config.l2_factors * sum((p[name][item] ** 2).sum() for item in (i, j))
    if "l_c" in p:
        known = [c for item in (i, j) for c in categories[item] if c >= 0]
        total += config.l2_factors * sum((p["l_c"][c] ** 2).sum() for c in known)
    if "beta_i" in p:
        total += config.l2_biases * (p["beta_i"][i] ** 2 + p["beta_i"][j] ** 2)
    total += config.l2_visual * sum((p[name] ** 2).sum() for name in {"E", "beta_f"} & p.keys())
    return total / 2


@pytest.mark.parametrize("kind", KINDS)
def test_penalty_is_half_the_squared_norm_of_what_a_triple_touches(kind):
    config, batch = replace(CONFIG, kind=kind), make_batch(kinds=2)
    categories = batch.catalogue.categories.at[:5, 1].set(-1)
    batch = batch._replace(catalogue=batch.catalogue._replace(categories=categories))
    params = unit_params(config)
    negative = jnp.arange(16) % SIZES.items
    ours, (total, metrics) = jax.jit(
        lambda p: (visual.penalty(p, batch, negative, config), visual.loss(p, batch, negative, config, SIZES))
    )(params)
    triples = zip(*map(np.asarray, (batch.user, batch.positive, negative)), strict=True)
    expected = [penalty_by_hand(params, *triple, np.asarray(categories), config) for triple in triples]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["penalty"], np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(total, metrics["bpr"] + metrics["penalty"], rtol=1e-6)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_step_is_the_optimisers_on_the_loss_of_its_own_negatives(optimiser):
    config, batch = replace(CONFIG, optimiser=optimiser, learning_rate=0.1), make_batch()
    init = jax.jit(lambda key: visual.init_state(key, config, SIZES))
    state = init(jax.random.key(0)).replace(params=unit_params(config))
    after, metrics = jax.jit(lambda s: visual.train_step(s, batch, config, SIZES))(state)
    rule = {"adam": optax.adam, "sgd": optax.sgd}[optimiser](0.1)

    @jax.jit
    def by_hand(state):
        key = jax.random.fold_in(state.key, 0)
        negative = visual.draw_negatives(key, batch.user, batch.seen, SIZES.items)
        gradient, expected = jax.grad(visual.loss, has_aux=True)(state.params, batch, negative, config, SIZES)
        updates, _ = rule.update(gradient, rule.init(state.params))
        return optax.apply_updates(state.params, updates), expected

    params, expected = by_hand(state)
    chex.assert_trees_all_close(metrics, expected, rtol=1e-5)
    chex.assert_trees_all_close(after.params, params, atol=1e-5)
    assert after.step == 1


@jax.jit
@chex.assert_max_traces(n=1)
def step_of_one_seed(state, batch):
    return visual.train_step(state, batch, CONFIG, SIZES)


@pytest.fixture(scope="module")
def start():
    return jax.jit(lambda key: visual.init_state(key, CONFIG, SIZES))(jax.random.key(0))


def test_step_is_pure_and_its_negatives_change_with_the_step(start):
    batch, state = make_batch(), start
    first, metrics = step_of_one_seed(state, batch)
    again, _ = step_of_one_seed(state, batch)
    chex.assert_trees_all_equal(first.params, again.params)
    assert set(metrics) == {"loss", "bpr", "penalty", "auc"}
    later, _ = step_of_one_seed(state.replace(step=jnp.asarray(5, jnp.int32)), batch)
    assert not np.array_equal(later.params["q_i"], first.params["q_i"])


def test_seeds_in_one_program_are_the_seeds_one_after_another(start):
    batch = make_batch()
    many, _ = jax.jit(jax.vmap(lambda key: visual.train_step(start.replace(key=key), batch, CONFIG, SIZES)))(
        seed_keys(0, 2)
    )
    for i in range(2):
        alone, _ = step_of_one_seed(start.replace(key=jax.random.key(i)), batch)
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], many.params), alone.params, atol=1e-5)


def test_eight_devices_give_the_losses_of_one(start):
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    mesh, batch = data_mesh(), make_batch()
    with use_mesh(mesh):
        pairs = jax.device_put((batch.user, batch.positive), split(mesh))
        rest = jax.device_put((batch.catalogue, batch.seen), replicated(mesh))
        step = jax.jit(lambda s, b: visual.train_step(s, b, CONFIG, SIZES), out_shardings=replicated(mesh))
        _, many = step(jax.device_put(start, replicated(mesh)), Batch(*pairs, *rest))
    _, one = step_of_one_seed(start, batch)
    for name, value in one.items():
        np.testing.assert_allclose(many[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["vbpr", "deepstyle"])
def test_it_learns(kind):
    """Users like one of two halves of the items, which their features tell apart."""
    sizes = Sizes(20, 40, 3, 2)
    pairs = np.asarray([(u, i) for u in range(20) for i in range(u % 2, 40, 2) if (u + i // 2) % 3])
    seen = Records(*map(jnp.asarray, records(from_pairs(*pairs.T, (20, 40))[0])))
    half = np.arange(40) % 2
    features = jnp.float32(np.stack([half, 1 - half, np.ones(40)], 1))
    catalogue = Catalogue(features, jnp.asarray(np.arange(40)[:, None] // 20, jnp.int32))
    config = VisualConfig(kind=kind, factors=4, visual_factors=2, learning_rate=0.03, l2_factors=0.001)
    batch = Batch(*jnp.asarray(pairs.T, jnp.int32), catalogue, seen)

    @jax.jit
    def run(key):
        def step(state, _):
            return visual.train_step(state, batch, config, sizes)

        state, metrics = jax.lax.scan(step, visual.init_state(key, config, sizes), None, length=80)
        return metrics["bpr"], visual.scores(state.params, jnp.arange(20), catalogue, config, sizes)

    bpr, scores = run(jax.random.key(0))
    assert bpr[-1] < 0.5 * bpr[0]
    # Also of the third of a half that no record of the user's was of.
    liked = (np.arange(20)[:, None] % 2) == half
    assert np.asarray(scores)[liked].mean() > np.asarray(scores)[~liked].mean() + 1


# New users.


def test_new_user_is_the_minimum_over_all_pairs():
    """The gradient of the mean over (own item, other item), written out, vanishes."""
    rng = np.random.default_rng(0)
    items = ItemVectors(jnp.float32(rng.normal(size=(12, 4))), jnp.float32(rng.normal(size=12)))
    history = np.asarray([[0, 3, 12, 12], [5, 12, 12, 12], [1, 2, 3, 4]], np.int32)
    config = replace(CONFIG, l2_factors=0.2)
    w = np.float64(jax.jit(lambda h: visual.fold_in(items, h, config))(history))
    vectors, biases = np.float64(items.vectors), np.float64(items.biases)
    for own, found in zip(history, w, strict=True):
        own = own[own < 12]
        others = np.setdiff1d(np.arange(12), own)
        gradient = config.l2_factors * found
        for i in own:
            for j in others:
                x = vectors[j] @ found + biases[j] - vectors[i] @ found - biases[i]
                gradient = gradient + (vectors[j] - vectors[i]) / (1 + np.exp(-x)) / (len(own) * len(others))
        np.testing.assert_allclose(gradient, 0, atol=2e-3)


def test_new_user_without_history_is_judged_by_biases():
    items = ItemVectors(jnp.ones((6, 2)), jnp.arange(6.0))
    w = visual.fold_in(items, jnp.full((2, 3), 6, jnp.int32), CONFIG)
    np.testing.assert_array_equal(w, 0)


# Settings.


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"factors": 0}, "--model.factors"),
        ({"visual_factors": 0}, "--model.visual-factors"),
        ({"kind": "vbpr", "visual_factors": 4}, "--model.visual-factors"),
        ({"l2_factors": -1.0}, "--model.l2-factors"),
        ({"l2_biases": float("nan")}, "--model.l2-biases"),
        ({"l2_visual": float("inf")}, "--model.l2-visual"),
        ({"learning_rate": 0.0}, "--model.learning-rate"),
    ],
)
def test_wrong_settings(change, flag):
    visual.check(VisualConfig())
    with pytest.raises(UserError) as error:
        check_bounds(replace(CONFIG, **change), "--model.")
        visual.check(replace(CONFIG, **change))
    assert error.value.field == flag


def test_sizes_of_the_models():
    """A user is as many numbers in each."""
    for kind in KINDS:
        config = VisualConfig(kind=kind)
        state = jax.eval_shape(lambda c=config: visual.init_state(jax.random.key(0), c, SIZES))
        items = jax.eval_shape(
            lambda p, c=config: visual.all_items(p, make_batch().catalogue, c, SIZES), state.params
        )
        assert items.vectors.shape == (12, 20) and items.biases.shape == (12,)
