"""The three updates of domain adaptation: what each learns from, and what it leaves alone."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from objectives.mutual_information import upper
from objectives.mutual_information.conditional import gaussian_learning_loss, gaussian_scores
from train.steps import domain_adaptation as da

CONFIG = da.AdaptationConfig(channels=(2, 3), convolutions=1, domain_hidden=4, dropout=0.0, noise=0.0)
KEYS = jax.random.split(jax.random.key(0), 2)
BATCH = {
    name: {"image": jax.random.uniform(key, (4, 4, 4, 3)), "label": jnp.asarray([0, 3, 9, 3])}
    for name, key in zip(("source", "target"), KEYS, strict=True)
}
step = jax.jit(da.train_step, static_argnames=("config", "method"))
init = jax.jit(lambda: da.init_state(jax.random.key(1), CONFIG, (4, 4, 3)))


@functools.cache
def stepped(method):
    state = init()
    return state, *step(state, BATCH, config=CONFIG, method=method)


def test_settings_are_those_of_the_official_code():
    config = da.AdaptationConfig()
    assert (config.channels, config.convolutions, config.domain_hidden) == ((96, 192, 192), 3, 128)
    assert (config.dropout, config.noise, config.weight, config.learning_rate) == (0.5, 1.0, 0.1, 1e-3)
    assert (config.steps, config.batch_size, config.likelihood) == (15_000, 64, "official")
    q = da.conditional(config)
    assert (q.features, q.hidden, q.bound) == (192, (192,), 1.0)


def features(state, batch=BATCH):
    """Of content and domain; without noise and dropout they are the same in training."""
    image = jnp.concatenate([batch["source"]["image"], batch["target"]["image"]])
    return [da.features(state.params[group], image, None, CONFIG) for group in ("content", "domain")]


@pytest.mark.slow
def test_the_content_learns_classes_of_the_source_and_independence_of_the_domain():
    before, after, metrics = stepped("club")
    content, domain = features(before)
    logits = da.classes_of(before.params, content[:4])
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(logits, BATCH["source"]["label"]).mean()
    scores = gaussian_scores(domain, *da.q_of({"q": after.params["q"]}, content, CONFIG))
    expected = upper.club(scores)
    np.testing.assert_allclose(metrics["cross_entropy"], cross_entropy, rtol=1e-4)
    np.testing.assert_allclose(metrics["information"], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["loss"], cross_entropy + 0.1 * expected, rtol=1e-3)
    chex.assert_tree_all_finite(after.params)


def test_sampled_club():
    state = init()
    content, domain = features(state)
    scores = gaussian_scores(domain, *da.q_of(state.params, content, CONFIG))
    index = upper.negative_index(jax.random.split(jax.random.key(4))[1], 8)
    expected = (jnp.diagonal(scores) - scores[index, jnp.arange(8)]).mean()
    loss = jax.jit(lambda params: da.content_loss(params, BATCH, jax.random.key(4), CONFIG, "club-sampled"))
    np.testing.assert_allclose(loss(state.params)[1]["information"], expected, rtol=1e-3, atol=1e-4)


def test_the_domain_learns_to_tell_the_domains():
    before, _, metrics = stepped("club")
    _, domain = features(before)
    layers = before.params["domain"]["domains"]
    layers = jax.tree.map(np.float64, layers)
    h = np.maximum(np.float64(domain) @ layers["layer_0"]["kernel"] + layers["layer_0"]["bias"], 0)
    logits = h @ layers["layer_1"]["kernel"] + layers["layer_1"]["bias"]
    one_hot = np.repeat(np.eye(2), 4, axis=0)
    entropies = np.logaddexp(0, logits) - one_hot * logits
    expected = entropies[:4].mean() + entropies[4:].mean()
    np.testing.assert_allclose(metrics["domain_loss"], expected, rtol=1e-4)


def test_each_update_learns_from_its_own_loss():
    """Adam's first update is the sign of the gradient: of the content's loss at the new q, of the domain's loss."""
    before, after, _ = stepped("club")
    updated = {**before.params, "q": after.params["q"]}
    gradients = jax.jit(
        lambda params: {
            "content": jax.grad(lambda p: da.content_loss(p, BATCH, jax.random.key(5), CONFIG, "club")[0])(
                params
            ),
            "domain": jax.grad(lambda p: da.domain_loss(p, BATCH, jax.random.key(6), CONFIG, "club")[0])(
                params
            ),
        }
    )(updated)
    assert not any(np.any(g) for g in jax.tree.leaves(gradients["domain"]["content"]))
    for group, gradient in gradients.items():
        moved = jax.tree.map(
            lambda new, old: np.asarray(new - old), after.params[group], before.params[group]
        )
        seen = 0
        for change, g in zip(*map(jax.tree.leaves, (moved, gradient[group])), strict=True):
            large = np.abs(g) > 1e-3
            np.testing.assert_allclose(change[large], -1e-3 * np.sign(g)[large], rtol=5e-2)
            seen += large.sum()
        assert seen


def test_labels_of_the_target_are_never_used():
    without = {**BATCH, "target": {"image": BATCH["target"]["image"]}}
    jax.eval_shape(lambda state: da.train_step(state, without, CONFIG, "club"), stepped("club")[0])


def test_source_only_leaves_the_rest_alone():
    before, after, metrics = stepped("source-only")
    for group in ("q", "domain"):
        chex.assert_trees_all_equal(after.params[group], before.params[group])
    content = da.features(before.params["content"], BATCH["source"]["image"], None, CONFIG)
    logits = da.classes_of(before.params, content)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, BATCH["source"]["label"]).mean()
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["error"], np.mean(logits.argmax(-1) != BATCH["source"]["label"]))


@pytest.mark.parametrize("likelihood", ["official", "gaussian"])
def test_what_q_learns(likelihood):
    config = da.AdaptationConfig(
        channels=(2, 3), convolutions=1, domain_hidden=4, dropout=0.0, noise=0.0, likelihood=likelihood
    )
    state = init()
    content, domain = features(state)
    mu, logvar = da.q_of(state.params, content, config)
    loss, _ = da.q_loss(state.params, BATCH, jax.random.key(0), config, "club")
    expected = gaussian_learning_loss(domain, mu, logvar).mean()
    if likelihood == "official":
        expected = expected - logvar.sum(-1).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_predictions():
    params, image = init().params, BATCH["target"]["image"]
    content = da.features(params["content"], image, None, CONFIG)
    expected = da.classes_of(params, content).argmax(-1)
    np.testing.assert_array_equal(da.predict(params, image, CONFIG), expected)
    whole = da.extractor(CONFIG).apply({"params": params["content"]["features"]}, 255 * image, False)
    np.testing.assert_allclose(content, whole, rtol=1e-5)
