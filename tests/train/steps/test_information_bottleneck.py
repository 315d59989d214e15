"""The bottleneck's update: every penalty, the official scale and schedule, q on latents that are held fixed."""

import typing

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from objectives.mutual_information import upper
from objectives.mutual_information.conditional import gaussian_learning_loss, gaussian_scores
from train.steps import information_bottleneck as ib

CONFIG = ib.BottleneckConfig(latent_dim=3, hidden=(6,), q_hidden=(4,), beta=0.5, learning_rate=1e-2)
BATCH = {
    "image": jax.random.uniform(jax.random.key(0), (8, 2, 3)),
    "label": jnp.asarray([0, 1, 2, 3, 4, 5, 6, 9]),
}
PENALTIES = tuple(ib.PENALTIES.values())
step = jax.jit(ib.train_step, static_argnames=("config", "penalty", "steps_per_epoch"))


def init(penalty):
    return ib.init_state(jax.random.key(1), CONFIG, penalty, 6)


def test_settings_are_those_of_the_official_code():
    config = ib.BottleneckConfig()
    assert (config.latent_dim, config.hidden, config.q_hidden) == (256, (1024, 1024), (256,))
    assert (config.beta, config.learning_rate, config.decay, config.decay_epochs) == (1e-3, 1e-4, 0.99, 2.0)
    assert (config.epochs, config.batch_size, config.q_noise, config.scale) == (200, 200, 0.3, "official")
    q = ib.conditional(config)
    assert (q.bound, q.initialisation) == (2.0, "glorot") and float(q.activation(-1.0)) == pytest.approx(
        np.exp(-1) - 1
    )


@jax.jit
def objectives(params, q):
    """penalty -> (loss, metrics), one program for all."""
    x, key = ib.pixels_of(BATCH["image"]), jax.random.key(7)
    return {
        p: ib.objective(params, q, x, BATCH["label"], jax.random.clone(key), CONFIG, p) for p in PENALTIES
    }


@pytest.fixture(scope="module")
def found():
    """Parameters, and what is expected of the parts of the loss with the draws of `objectives`."""
    state = init("vclub")
    z_key, estimate_key = jax.random.split(jax.random.key(7))
    x_key, index_key = jax.random.split(estimate_key)
    x = 2 * BATCH["image"].reshape(8, 6) - 1
    mu, logvar = ib.encode(state.params, x, CONFIG)
    z = mu + jnp.exp(logvar / 2) * jax.random.normal(z_key, mu.shape)
    noisy, index = x + 0.3 * jax.random.normal(x_key, x.shape), upper.negative_index(index_key, 8)
    learned = ib.conditional(CONFIG).apply({"params": state.q}, noisy)
    expected = {"none": 0.0, "vub": upper.vub(mu, logvar).mean()}
    for prefix, q in (("", (mu, logvar)), ("v", learned)):
        scores = gaussian_scores(z, *q)
        expected[f"{prefix}club"] = upper.club(scores)
        expected[f"{prefix}club-sampled"] = (jnp.diagonal(scores) - scores[index, jnp.arange(8)]).mean()
    return objectives(state.params, state.q), expected, state.params, (mu, z)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_loss_is_cross_entropy_and_beta_times_the_estimate(found, penalty):
    """Against the bounds of all pairs; CLUB weighs twice in the official code."""
    losses, expected, params, (mu, z) = found
    loss, metrics = losses[penalty]
    logits = ib.classify(params, mu if penalty == "none" else z, CONFIG)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, BATCH["label"]).mean()
    weight = 0.5 * (2 if "club" in penalty else 1)
    np.testing.assert_allclose(metrics["cross_entropy"], cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(metrics["information"], expected[penalty], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(loss, cross_entropy + weight * expected[penalty], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["error"], np.mean(logits.argmax(-1) != BATCH["label"]))


def test_an_unknown_penalty():
    with pytest.raises(ValueError, match="l1out"):
        ib.estimate("l1out", *([jnp.zeros((2, 3))] * 3), {}, jnp.zeros((2, 6)), jax.random.key(0), CONFIG)


def test_every_name_of_the_table_can_be_chosen():
    assert typing.get_args(ib.PenaltyName) == tuple(ib.PENALTIES)


def test_the_scale_of_the_paper():
    paper = ib.BottleneckConfig(scale="paper")
    assert [ib.weight(paper, p) for p in PENALTIES] == [1.0] * 6
    assert [ib.weight(CONFIG, p) for p in PENALTIES] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_a_step_moves_both_networks_and_q_learns_the_likelihood_of_latents_that_are_held_fixed():
    before = init("vclub")
    after, metrics = step(before, BATCH, config=CONFIG, penalty="vclub", steps_per_epoch=5)
    chex.assert_tree_all_finite((after.params, after.q, metrics))
    assert int(after.step) == 1
    assert any(
        np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (after.params, before.params)), strict=True)
    )
    key, _ = jax.random.split(jax.random.fold_in(before.key, 0))
    z_key, x_key = jax.random.split(key)
    x = ib.pixels_of(BATCH["image"])
    mu, logvar = ib.encode(before.params, x, CONFIG)
    z = mu + jnp.exp(logvar / 2) * jax.random.normal(z_key, mu.shape)

    def loss(q):
        noisy = x + 0.3 * jax.random.normal(x_key, x.shape)
        return gaussian_learning_loss(z, *ib.conditional(CONFIG).apply({"params": q}, noisy)).mean()

    moved = jax.tree.map(lambda new, old: new - old, after.q, before.q)
    for change, g in zip(*map(jax.tree.leaves, (moved, jax.grad(loss)(before.q))), strict=True):
        large = np.abs(g) > 1e-3
        np.testing.assert_allclose(np.asarray(change)[large], -1e-2 * np.sign(g)[large], rtol=2e-2)
    of_encoder = jax.grad(ib.q_loss, 1)(before.q, before.params, x, jax.random.key(8), CONFIG)
    chex.assert_trees_all_equal(of_encoder, jax.tree.map(jnp.zeros_like, of_encoder))


def test_the_learning_rate_falls_in_stairs_and_twice_as_often_with_a_learned_q():
    gradient = {"w": jnp.ones(1)}
    for penalty, updates in (("club", 10), ("vclub", 5)):
        adam = ib.optimiser(CONFIG, penalty, steps_per_epoch=5)
        state, sizes = adam.init(gradient), []
        for _ in range(2 * updates + 1):
            update, state = adam.update(gradient, state)
            sizes.append(-float(update["w"][0]))
        expected = [1e-2] * updates + [0.99e-2] * updates + [0.99**2 * 1e-2]
        np.testing.assert_allclose(sizes, expected, rtol=1e-4)


def test_predictions_are_means_over_samples_of_the_latent():
    params = init("club").params
    found = ib.predict(params, BATCH["image"], jax.random.key(3), CONFIG, "club", samples=5)
    mu, logvar = ib.encode(params, ib.pixels_of(BATCH["image"]), CONFIG)
    noise = jax.random.normal(jax.random.key(3), (5, 8, 3))
    each = [jax.nn.softmax(ib.classify(params, mu + jnp.exp(logvar / 2) * n, CONFIG)) for n in noise]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-4, atol=1e-6)
    plain = ib.predict(params, BATCH["image"], jax.random.key(3), CONFIG, "none")
    np.testing.assert_allclose(plain, jax.nn.softmax(ib.classify(params, mu, CONFIG)), rtol=1e-5)
