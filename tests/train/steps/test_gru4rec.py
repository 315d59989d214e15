"""The GRU4Rec step: samples, loss and update against a plain form of it, what padding may not touch, and learning."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.gru4rec import input_table
from train.bounds import check_bounds
from train.devices import data_mesh, replicated, use_mesh
from train.errors import UserError
from train.seeds import seed_keys
from train.steps import gru4rec
from train.steps.gru4rec import GRU4RecConfig, RankingConfig

ITEMS, SLOTS = 12, 8
CONFIG = GRU4RecConfig(layers=(6,), embedding_dim=4)
XE = RankingConfig(samples=5, sample_alpha=0.5, learning_rate=0.2, momentum=0.3, dropout_embed=0.0)
BPR_MAX = replace(XE, loss="bpr-max", activation="elu-0.5", score_regularisation=0.5, log_q=0.0)
SUPPORT = np.arange(1, ITEMS + 1)


def make_batch(objective=XE, seed=0, valid=None):
    rng = np.random.default_rng(seed)
    slots = {
        "input": rng.integers(0, ITEMS, SLOTS, dtype=np.int32),
        "target": rng.integers(0, ITEMS, SLOTS, dtype=np.int32),
        "reset": rng.random(SLOTS) < 0.3,
        "valid": np.ones(SLOTS, bool) if valid is None else np.asarray(valid, bool),
    }
    return jax.tree.map(jnp.asarray, slots | gru4rec.item_arrays(SUPPORT, objective))


def make_state(config=CONFIG, objective=XE, seed=0):
    """A state with random parameters and hidden states, without the time that compiling `init_state` takes."""
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    abstract = jax.eval_shape(lambda: gru4rec.init_state(key, config, objective, ITEMS, SLOTS))

    def fill(leaf):
        return jnp.asarray(rng.uniform(-0.6, 0.6, leaf.shape), leaf.dtype)

    return abstract.replace(
        step=jnp.zeros((), jnp.int32),
        params=jax.tree.map(fill, abstract.params),
        optimiser=jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), abstract.optimiser),
        hidden=jax.tree.map(fill, abstract.hidden),
        key=key,
    )


@pytest.fixture(scope="module")
def state():
    return make_state()


def plain_loss(params, state, batch, samples, config, objective):
    """On whole tables, row by row, without dropout; slots without an event are left out before anything else."""
    real = np.flatnonzero(np.asarray(batch["valid"]))
    tables = params["tables"]
    hidden = tuple(jnp.where(batch["reset"][:, None], 0, h)[real] for h in state.hidden)
    x = tables[input_table(tables)][batch["input"][real]]
    h = gru4rec.network(config, objective).apply({"params": params["network"]}, x, hidden)[-1]
    columns = jnp.concatenate([batch["target"][real], samples])
    scores = h @ tables["output"][columns].T + tables["bias"][columns][None]
    valid = jnp.ones(len(real), bool)
    losses = gru4rec.row_losses(scores, valid, batch["support"][columns], objective)
    return losses.sum() / SLOTS


def test_reference_samples(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {key: archive[key] for key in archive if key.startswith(("rl/pop", "rl/sample"))}
    for alpha in (0.5, 0.75, 1.0):
        cdf = gru4rec.sampling_cdf(gold["rl/pop"], alpha)
        ours = gru4rec.draw_items(jnp.asarray(gold["rl/sample_u"], jnp.float32), jnp.asarray(cdf))
        np.testing.assert_array_equal(ours, gold[f"rl/sample_idx_alpha{alpha}"])


def test_fresh_state():
    """Zeros where they have to be; `init_state` by itself, as other tests fill states by hand."""
    state = gru4rec.init_state(jax.random.key(0), CONFIG, replace(XE, momentum=0.0), ITEMS, SLOTS)
    for leaf in jax.tree.leaves((state.optimiser, state.hidden, state.params["tables"]["bias"])):
        np.testing.assert_array_equal(leaf, 0)
    assert state.params["tables"]["output"].shape == (ITEMS, 6) and "input" not in state.params["tables"]


def test_samples_follow_the_power_of_the_support():
    support = np.array([0, 1, 4, 9, 0])
    for alpha, expected in ((0.0, [0, 1 / 3, 1 / 3, 1 / 3, 0]), (0.5, [0, 1 / 6, 2 / 6, 3 / 6, 0])):
        uniform = jnp.linspace(1e-6, 1 - 1e-6, 6000)
        drawn = gru4rec.draw_items(uniform, jnp.asarray(gru4rec.sampling_cdf(support, alpha)))
        np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 6000, expected, atol=1e-3)


@pytest.mark.parametrize("embedding", ["none", pytest.param("separate", marks=pytest.mark.slow), "shared"])
def test_update_is_the_dense_step_on_rows_that_were_looked_up(embedding):
    """Of the plain loss's gradient; items that are neither input, target nor sample keep everything."""
    config = replace(CONFIG, embedding=embedding)
    state, batch = make_state(config), make_batch(valid=[1, 1, 0, 1, 1, 1, 0, 1])
    samples = jnp.asarray([0, 3, 3, 7, 7])
    key = jax.random.key(1)
    after, metrics = jax.jit(lambda s, b: gru4rec.update(s, b, samples, key, config, XE))(state, batch)

    def loss(params):
        return plain_loss(params, state, batch, samples, config, XE)

    value, slopes = jax.jit(jax.value_and_grad(loss))(state.params)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["row_loss"], value * SLOTS / 6, rtol=1e-5)

    def stepped(parameter, slope):
        return parameter - XE.learning_rate * slope / jnp.sqrt(slope**2 + 1e-6)

    expected = jax.tree.map(stepped, state.params, slopes)
    chex.assert_trees_all_close(after.params, expected, rtol=2e-4, atol=2e-5)
    real = np.asarray(batch["valid"])
    came, scored = np.asarray(batch["input"])[real], [*np.asarray(batch["target"])[real], *samples]
    touched = {"input": set(came.tolist()), "bias": set(map(int, scored))}
    touched["output"] = touched["bias"] | (touched["input"] if embedding == "shared" else set())
    for name, moments in after.optimiser["tables"].items():
        still = np.array(sorted(set(range(ITEMS)) - touched[name]))
        np.testing.assert_array_equal(np.asarray(moments.acc)[still], 0)
        np.testing.assert_array_equal(
            after.params["tables"][name][still], state.params["tables"][name][still]
        )


OBJECTIVES = (
    XE,
    replace(XE, label_smoothing=0.1),
    BPR_MAX,
    replace(XE, loss="top1-max", log_q=0.0),
    replace(XE, loss="bpr", log_q=0.0, reduction="paper"),
    replace(XE, loss="top1", log_q=0.0, activation="tanh"),
)


def test_slots_without_an_event_change_no_loss():
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.standard_normal((SLOTS, SLOTS + 5)), jnp.float32)
    support = jnp.asarray(rng.integers(1, 9, SLOTS + 5), jnp.float32)
    valid = np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)
    columns = np.r_[np.flatnonzero(valid), SLOTS : SLOTS + 5]

    @jax.jit
    def every(scores, valid, support):
        return [gru4rec.row_losses(scores, valid, support, objective) for objective in OBJECTIVES]

    padded = every(scores, jnp.asarray(valid), support)
    alone = every(scores[valid][:, columns], jnp.ones(valid.sum(), bool), support[columns])
    for objective, ours, expected in zip(OBJECTIVES, padded, alone, strict=True):
        np.testing.assert_allclose(ours[valid], expected, rtol=1e-5, err_msg=objective.loss)


@jax.jit
@chex.assert_max_traces(n=1)
def step_of_one_seed(state, batch):
    return gru4rec.train_step(state, batch, CONFIG, DROPPED)


DROPPED = replace(XE, dropout_embed=0.1, dropout_hidden=0.2)


def test_step_is_pure_and_traced_once_and_resets_before_use(state):
    batch = make_batch()
    first, metrics = step_of_one_seed(state, batch)
    again, _ = step_of_one_seed(state, batch)
    chex.assert_trees_all_equal(first.params, again.params)
    assert first.step == 1 and set(metrics) == {"loss", "row_loss"}
    # What a slot held before its session begins makes no difference; elsewhere it does.
    spoiled = state.replace(hidden=tuple(jnp.where(batch["reset"][:, None], 9.0, h) for h in state.hidden))
    other, _ = step_of_one_seed(spoiled, batch)
    chex.assert_trees_all_close(first.params, other.params)
    chex.assert_trees_all_close(first.hidden, other.hidden)
    moved, _ = step_of_one_seed(state.replace(hidden=tuple(-h for h in state.hidden)), batch)
    assert not np.allclose(moved.hidden[0], first.hidden[0])


@pytest.mark.slow
def test_seeds_in_one_program_are_the_seeds_one_after_another(state):
    batch = make_batch()
    many, metrics = jax.jit(
        jax.vmap(lambda key: gru4rec.train_step(state.replace(key=key), batch, CONFIG, DROPPED))
    )(seed_keys(0, 3))
    assert len(set(np.asarray(metrics["loss"]).tolist())) == 3
    for i in range(3):
        alone, one = step_of_one_seed(state.replace(key=jax.random.key(i)), batch)
        np.testing.assert_allclose(metrics["loss"][i], one["loss"], rtol=1e-5)
        ours = jax.tree.map(lambda a, i=i: a[i], many.params)
        chex.assert_trees_all_close(ours, alone.params, atol=1e-5)


def test_eight_devices_give_the_losses_of_one(state):
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    mesh, alone = data_mesh(), state
    with use_mesh(mesh):
        on_eight = jax.device_put(state, replicated(mesh))
        step = jax.jit(lambda s, b: gru4rec.train_step(s, b, CONFIG, DROPPED), out_shardings=replicated(mesh))
        many = []
        for seed in range(3):
            on_eight, metrics = step(on_eight, jax.device_put(make_batch(seed=seed), replicated(mesh)))
            many.append(metrics["loss"])
    for seed, loss in enumerate(many):
        alone, one = step_of_one_seed(alone, make_batch(seed=seed))
        np.testing.assert_allclose(loss, one["loss"], rtol=1e-5)


def test_it_learns_what_follows_what(state):
    """Item i is followed by i + 1: after some steps that has the highest score."""
    ring = np.arange(SLOTS, dtype=np.int32)
    for t in range(200):
        now = (ring + t) % ITEMS
        batch = make_batch() | {
            "input": jnp.asarray(now),
            "target": jnp.asarray((now + 1) % ITEMS),
            "reset": jnp.full(SLOTS, t % 4 == 0),
        }
        state, _ = step_of_one_seed(state, batch)
    items, hidden = jnp.arange(SLOTS), tuple(jnp.zeros_like(h) for h in state.hidden)
    _, scores = gru4rec.advance(state.params, hidden, items, jnp.ones(SLOTS, bool), CONFIG, XE)
    assert scores.shape == (SLOTS, ITEMS)
    np.testing.assert_array_equal(scores.argmax(1), (np.arange(SLOTS) + 1) % ITEMS)


@pytest.mark.parametrize(
    ("config", "objective", "flag"),
    [
        (replace(CONFIG, layers=()), XE, "--model.layers"),
        (replace(CONFIG, layers=(5, 0)), XE, "--model.layers"),
        (replace(CONFIG, embedding_dim=0), XE, "--model.embedding-dim"),
        *((replace(CONFIG, init_sigma=float(s)), XE, "--model.init-sigma") for s in ("-1", "nan", "inf")),
        (CONFIG, replace(XE, dropout_hidden=1.0), "--xe.dropout-hidden"),
        (CONFIG, replace(XE, momentum=-0.1), "--xe.momentum"),
        (CONFIG, replace(XE, learning_rate=float("nan")), "--xe.learning-rate"),
        (CONFIG, replace(XE, activation="gelu"), "--xe.activation"),
        (CONFIG, replace(XE, sample_alpha=-1.0), "--xe.sample-alpha"),
        (CONFIG, replace(XE, samples=-1), "--xe.samples"),
        (CONFIG, replace(XE, epochs=0), "--xe.epochs"),
    ],
)
def test_wrong_settings(config, objective, flag):
    check_bounds(CONFIG)
    check_bounds(XE)
    with pytest.raises(UserError) as error:
        check_bounds(config, "--model.")
        check_bounds(objective, "--xe.")
    assert error.value.field == flag
