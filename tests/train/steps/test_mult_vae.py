"""Mult-VAE and Mult-DAE against the reference numbers; their schedule, noise, items over devices, settings."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

from jaxmodels.mult_vae import dropout, normalise
from objectives.elbo import kl_standard_normal
from train.bounds import check_bounds
from train.devices import item_mesh, use_mesh
from train.errors import UserError
from train.item_shards import multi_hot, pad_items, partition
from train.seeds import seed_keys
from train.steps import mult_vae
from train.steps.mult_vae import MultVAEConfig, Noise

GOLDEN = {
    "mv": MultVAEConfig(latent_dim=20, hidden=(60,), l2=0.01),
    "md": MultVAEConfig(kind="dae", latent_dim=20, hidden=(), l2=2e-5),
}
LAYERS = {
    "mv": {
        "q1": ("encoder", "dense_0"),
        "q2": ("encoder", "dense_1"),
        "p1": ("decoder", "dense_0"),
        "p2": ("decoder", "dense_1"),
    },
    "md": {"q1": ("encoder", "dense_0"), "p1": ("decoder", "dense_0")},
}
SMALL = MultVAEConfig(latent_dim=3, hidden=(5,), anneal_steps=1000, learning_rate=0.02)
ITEMS = 12


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name[:2] in ("mv", "md")}


def reference(golden, model, dtype):
    """(params, x, noise, loss at the reference's beta) in a number format."""
    params = {"encoder": {}, "decoder": {}}
    for name, (network, layer) in LAYERS[model].items():
        kernel, bias = (jnp.asarray(golden[f"{model}/{name}_{kind}"], dtype) for kind in "wb")
        params[network][layer] = {"kernel": kernel, "bias": bias}
    x, eps = (jnp.asarray(golden[f"mv/{name}"], dtype) for name in ("x", "eps"))
    noise = Noise(jnp.asarray(golden["mv/keep_mask"] > 0), eps)
    config = GOLDEN[model]

    @jax.jit
    def loss(params):
        return mult_vae.loss(params, x, noise, float(golden["mv/beta"]), config, x.shape[1])

    return params, x, noise, loss


PRECISIONS = pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-5)])


def test_weights_of_the_penalty_are_the_references(golden):
    assert {model: config.l2 for model, config in GOLDEN.items()} == {
        model: float(golden[f"{model}/lam"]) for model in GOLDEN
    }


@PRECISIONS
def test_mult_vae_networks(golden, dtype, rtol):
    """Posterior, sample, logits and terms by user, with and without corruption; scores are the mean's logits."""
    with jax.enable_x64(dtype == np.float64):
        params, x, noise, _ = reference(golden, "mv", dtype)
        config = GOLDEN["mv"]

        @jax.jit
        def networks(params):
            inputs, out = {"eval": normalise(x), "train": dropout(normalise(x), noise.kept, 0.5)}, {}
            for mode, h in inputs.items():
                mu, logvar = mult_vae.posterior(params, h, config)
                z = mu if mode == "eval" else mu + jnp.exp(logvar / 2) * noise.eps
                logits = mult_vae.decode(params, z, config)
                out |= {f"{mode}/mu": mu, f"{mode}/logvar": logvar, f"{mode}/z": z, f"{mode}/logits": logits}
                out[f"{mode}/neg_ll_per_user"] = mult_vae.neg_log_likelihood(logits, x, config, x.shape[1])
                out[f"{mode}/kl_per_user"] = kl_standard_normal(mu, logvar)
                out[f"{mode}/l2_weights"] = mult_vae.sum_of_squares(params)
            return out, mult_vae.scores(params, x, config)

        values, scores = networks(params)
        for name, value in values.items():
            close(value, golden[f"mv/{name}"], rtol, name)
        close(scores, golden["mv/eval/logits"], rtol, "scores")


@PRECISIONS
def test_mult_vae_loss_and_gradients(golden, dtype, rtol):
    with jax.enable_x64(dtype == np.float64):
        params, _, _, loss = reference(golden, "mv", dtype)
        (total, metrics), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
        close(total, golden["mv/train/neg_elbo"], rtol, "loss")
        names = {"neg_log_likelihood": "neg_ll", "kl": "kl", "l2": "l2_weights"}
        for ours, theirs in names.items():
            close(metrics[ours], golden[f"mv/train/{theirs}"], rtol, ours)
        for name, (network, layer) in LAYERS["mv"].items():
            for kind, ours in (("w", "kernel"), ("b", "bias")):
                expected = golden[f"mv/train/grad_{name}_{kind}"]
                close(gradient[network][layer][ours], expected, rtol, f"{name}_{kind}")


@PRECISIONS
def test_mult_vae_evidence_without_noise(golden, dtype, rtol):
    """At z = mu, beta 1 and without the penalty."""
    with jax.enable_x64(dtype == np.float64):
        params, x, _, _ = reference(golden, "mv", dtype)
        config = replace(GOLDEN["mv"], keep=1.0, l2=0.0)
        still = Noise(np.ones(x.shape, bool), np.zeros((len(x), 20), dtype))
        total, metrics = jax.jit(lambda p: mult_vae.loss(p, x, still, 1.0, config, x.shape[1]))(params)
        close(metrics["neg_log_likelihood"], golden["mv/eval/neg_ll"], rtol, "neg_ll")
        close(metrics["kl"], golden["mv/eval/kl"], rtol, "kl")
        close(total, golden["mv/eval/neg_elbo"], rtol, "loss")


@PRECISIONS
def test_mult_dae(golden, dtype, rtol):
    with jax.enable_x64(dtype == np.float64):
        params, x, noise, loss = reference(golden, "md", dtype)
        config = GOLDEN["md"]

        @jax.jit
        def networks(params):
            corrupted = mult_vae.code(params, dropout(normalise(x), noise.kept, 0.5), config)
            logits = {
                "train": mult_vae.decode(params, corrupted, config),
                "eval": mult_vae.scores(params, x, config),
            }
            penalty = config.l2 * mult_vae.sum_of_squares(params)
            return {
                mode: (f, mult_vae.neg_log_likelihood(f, x, config, x.shape[1]).mean(), penalty)
                for mode, f in logits.items()
            }

        for mode, (logits, neg_ll, penalty) in networks(params).items():
            close(logits, golden[f"md/{mode}/logits"], rtol, mode)
            close(neg_ll, golden[f"md/{mode}/neg_ll"], rtol, mode)
            close(neg_ll + penalty, golden[f"md/{mode}/loss"], rtol, mode)
        total, metrics = loss(params)
        close(total, golden["md/train/loss"], rtol, "loss")
        assert metrics["kl"] == 0


def close(ours, expected, rtol, name):
    """Relative to the largest entry where there is more than one."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        ours, expected, rtol=rtol, atol=rtol * scale * (np.ndim(expected) > 0), err_msg=name
    )
    assert np.asarray(ours).dtype == (np.float64 if rtol < 1e-6 else np.float32), name


# The schedule.


def test_beta_by_updates():
    """The published run reaches its cap after 40,000 updates, not 200,000."""
    config = MultVAEConfig()
    expected = {0: 0.0, 1: 5e-6, 20_000: 0.1, 40_000: 0.2, 40_001: 0.2, 200_000: 0.2}
    for step, beta in expected.items():
        np.testing.assert_allclose(mult_vae.beta_at(step, config), beta, rtol=1e-6)
    np.testing.assert_allclose(mult_vae.beta_at(1, replace(config, anneal_steps=1)), 0.2)
    assert mult_vae.beta_at(3, replace(config, anneal_steps=0, beta=0.0)) == 0
    assert mult_vae.beta_at(40_000, replace(config, kind="dae")) == 0


@pytest.mark.parametrize(
    ("beta", "given", "updates", "steps"),
    [(0.2, 0, 46_800, 198_900), (0.2, 300, 46_800, 300), (1.0, 0, 100, 85), (0.0, 0, 100, 0), (0.2, 0, 0, 1)],
)
def test_rescaled_annealing(beta, given, updates, steps):
    assert mult_vae.anneal_steps(MultVAEConfig(beta=beta, anneal_steps=given), updates) == steps


def test_annealing_over_a_share_of_the_run_needs_its_length():
    """0 means the same to the library as on the command line, and is never taken for no annealing."""
    config = replace(SMALL, anneal_steps=0)
    state = mult_vae.init_state(jax.random.key(0), config, ITEMS)
    for use in (
        lambda: mult_vae.beta_at(0, config),
        lambda: mult_vae.train_step(state, {"x": clicks()}, config, ITEMS),
    ):
        with pytest.raises(UserError, match=r"anneal_steps\(config, updates\)"):
            use()
    check_bounds(config)
    assert mult_vae.beta_at(0, replace(config, kind="dae")) == 0


def test_rescaled_annealing_ends_after_85_percent():
    config = MultVAEConfig()
    config = replace(config, anneal_steps=mult_vae.anneal_steps(replace(config, anneal_steps=0), 1000))
    np.testing.assert_allclose(mult_vae.beta_at(850, config), 0.2, rtol=1e-6)
    assert mult_vae.beta_at(840, config) < 0.2


# Noise and updates.


def clicks(users=6, items=ITEMS, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((users, items)) < 0.4, jnp.float32)


@pytest.fixture(scope="module")
def start():
    return jax.jit(mult_vae.init_state, static_argnums=(1, 2))(jax.random.key(0), SMALL, ITEMS)


@jax.jit
@chex.assert_max_traces(n=1)
def step(state, batch):
    return mult_vae.train_step(state, batch, SMALL, ITEMS)


def test_noise():
    kept, eps = jax.jit(lambda key: mult_vae.draw_noise(key, (40, 500), replace(SMALL, keep=0.7)))(
        jax.random.key(0)
    )
    np.testing.assert_allclose(kept.mean(), 0.7, atol=0.01)
    assert eps.shape == (40, 3) and abs(eps.std() - 1) < 0.2


def test_step_is_pure_counts_and_anneals(start):
    batch = {"x": clicks()}
    first, metrics = step(start, batch)
    again, _ = step(start, batch)
    chex.assert_trees_all_equal(first.params, again.params)
    assert metrics["beta"] == 0 and first.step == 1
    second, metrics = step(first, batch)
    np.testing.assert_allclose(metrics["beta"], 1e-3, rtol=1e-6)
    assert second.step == 2


def test_seeds_in_one_program(start):
    batch = {"x": clicks()}
    many, _ = jax.jit(jax.vmap(lambda key: mult_vae.train_step(start.replace(key=key), batch, SMALL, ITEMS)))(
        seed_keys(0, 2)
    )
    for i in range(2):
        alone, _ = step(start.replace(key=jax.random.key(i)), batch)
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], many.params), alone.params, atol=1e-6)


def test_users_do_not_mix(start):
    """Scores of a user are the same beside others, and beside a user without clicks."""
    score = jax.jit(lambda x: mult_vae.scores(start.params, x, SMALL))
    together, alone = score(clicks()), score(clicks().at[1:].set(0.0))
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-5, atol=1e-6)
    assert np.isfinite(alone).all()


@pytest.mark.parametrize(
    ("kind", "likelihood"), [("vae", "multinomial"), ("vae", "gaussian"), ("dae", "logistic")]
)
def test_padded_items_change_nothing(kind, likelihood):
    """Neither the loss, nor any gradient; they get none themselves."""
    config = replace(SMALL, kind=kind, likelihood=likelihood, hidden=(), l2=0.1)
    shapes = jax.eval_shape(lambda: mult_vae.init_state(jax.random.key(1), config, ITEMS).params)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape), jnp.float32), shapes)
    noise = Noise(clicks(seed=1) > 0, jnp.ones((6, 3)))

    @jax.jit
    @jax.value_and_grad
    def loss(params, x, noise):
        return mult_vae.loss(params, x, noise, 0.5, config, ITEMS)[0]

    value, gradient = loss(params, clicks(), noise)
    padded_value, padded = loss(*pad_items((params, clicks(), noise), ITEMS, 16))
    np.testing.assert_allclose(padded_value, value, rtol=1e-5)
    chex.assert_trees_all_close(padded, pad_items(gradient, ITEMS, 16), rtol=1e-4, atol=1e-5)


def test_items_divided_over_devices(start):
    """Losses of three updates on 4 x 2 devices are those of one."""
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    ids = [np.flatnonzero(row) for row in np.asarray(clicks(8))]
    longest = max(map(len, ids))
    ids = jnp.asarray([[*row, *[ITEMS] * (longest - len(row))] for row in ids], jnp.int32)

    def step_from_lists(state, ids):
        return mult_vae.train_step(state, {"x": multi_hot(ids, ITEMS)}, SMALL, ITEMS)

    def losses(state, step):
        history = []
        for _ in range(3):
            state, metrics = step(state, ids)
            history.append(metrics["loss"])
        return np.asarray(history)

    alone = losses(start, jax.jit(step_from_lists))
    mesh = item_mesh("data=4,items=2")
    with use_mesh(mesh):
        places = jax.tree.map(
            lambda spec: NamedSharding(mesh, spec), partition(jax.eval_shape(lambda: start), ITEMS)
        )
        divided = losses(jax.device_put(start, places), jax.jit(step_from_lists))
    np.testing.assert_allclose(divided, alone, rtol=1e-5)


def test_it_learns(start):
    """Two kinds of users: whatever single item a user of a kind clicked, those of the kind are ranked on top."""
    rng, kind = np.random.default_rng(0), np.repeat([0, 1], 3)
    x = (rng.random((6, ITEMS)) < 0.7) * (np.arange(ITEMS) // 6 == kind[:, None])
    state, batch = start, {"x": jnp.asarray(x, jnp.float32)}
    for _ in range(200):
        state, _ = step(state, batch)
    scores = np.asarray(mult_vae.scores(state.params, jnp.eye(ITEMS), SMALL))
    same = np.arange(ITEMS)[:, None] // 6 == np.arange(ITEMS) // 6
    assert scores[same].mean() > scores[~same].mean() + 2


# Settings.


def test_number_of_parameters_of_the_published_networks():
    """On the 20,108 items of MovieLens-20M."""
    sizes = {
        MultVAEConfig(): 20_108 * 600 + 600 + 600 * 400 + 400 + 200 * 600 + 600 + 600 * 20_108 + 20_108,
        MultVAEConfig(kind="dae", hidden=()): 2 * 200 * 20_108 + 200 + 20_108,
    }
    for config, count in sizes.items():
        state = jax.eval_shape(lambda c=config: mult_vae.init_state(jax.random.key(0), c, 20_108))
        assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == count


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"latent_dim": 0}, "--model.latent-dim"),
        ({"hidden": (5, 0)}, "--model.hidden"),
        ({"keep": 0.0}, "--model.keep"),
        ({"likelihood": "poisson"}, "--model.likelihood"),
        ({"kind": "gan"}, "--model.kind"),
        ({"confidence": (1.0, 0.0)}, "--model.confidence"),
        ({"confidence": (1.0, float("nan"))}, "--model.confidence"),
        ({"beta": -0.1}, "--model.beta"),
        ({"anneal_steps": -1}, "--model.anneal-steps"),
        ({"l2": float("nan")}, "--model.l2"),
        ({"learning_rate": 0.0}, "--model.learning-rate"),
    ],
)
def test_wrong_settings(change, flag):
    check_bounds(MultVAEConfig())
    with pytest.raises(UserError) as error:
        check_bounds(replace(MultVAEConfig(), **change), "--model.")
    assert error.value.field == flag
