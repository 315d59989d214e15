"""The latent classifier against the official trajectory and example; the order of its passes; that it learns."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.seeds import seed_keys
from train.steps import cada_vae_classifier
from train.steps.cada_vae_classifier import ClassifierConfig

CONFIG = ClassifierConfig()


@functools.cache
def golden(shared):
    with np.load(shared / "parity" / "cada_cls.npz", allow_pickle=False) as archive:
        return dict(archive)


def state_with(kernel_oi, bias):
    state = cada_vae_classifier.init_classifier(jax.random.key(0), kernel_oi.shape[1], len(bias), CONFIG)
    return state.replace(params={"logits": {"kernel": jnp.asarray(kernel_oi.T), "bias": jnp.asarray(bias)}})


def test_five_updates(shared):
    """Losses at rtol 1e-5, parameters at 1e-5."""
    gold = golden(shared)
    state = state_with(gold["w/kernel_oi"], gold["w/bias"])

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, batch):
        return cada_vae_classifier.classifier_step(state, batch, CONFIG)

    for i in range(5):
        batch = {"z": jnp.asarray(gold["z"][i]), "label": jnp.asarray(gold["y"][i], jnp.int32)}
        state, metrics = step(state, batch)
        np.testing.assert_allclose(metrics["loss"], gold["loss"][i], rtol=1e-5)
        params = state.params["logits"]
        np.testing.assert_allclose(params["kernel"].T, gold[f"after{i + 1}/kernel_oi"], atol=1e-5, rtol=0)
        np.testing.assert_allclose(params["bias"], gold[f"after{i + 1}/bias"], atol=1e-5, rtol=0)
    assert state.step == 5


def per_class_accuracy(predicted, labels, classes):
    return np.mean([np.mean(predicted[labels == c] == c) for c in classes])


def test_official_accuracies(shared):
    gold = golden(shared)
    state = state_with(gold["m_kernel_oi"], gold["m_bias"])
    seen, unseen = (cada_vae_classifier.predict(state, jnp.asarray(gold[z])) for z in ("zs", "zu"))
    s = per_class_accuracy(seen, gold["ys"], gold["seen"])
    u = per_class_accuracy(unseen, gold["yu"], gold["unseen"])
    np.testing.assert_allclose([s, u, 2 * s * u / (s + u)], [gold[k] for k in "SUH"], rtol=1e-6)


def test_initial_classifier():
    state = cada_vae_classifier.init_classifier(jax.random.key(0), 64, 200, CONFIG)
    bound = 0.5 * np.sqrt(6 / 264)
    assert 0.99 * bound < np.abs(state.params["logits"]["kernel"]).max() <= bound
    np.testing.assert_array_equal(state.params["logits"]["bias"], 0)


# Passes.


def rows_of_pass(monkeypatch, size, batch, wrap, passes):
    """Which rows each update sees: a step that writes them down takes the place of the update."""

    def spy(state, batch, config):
        rows = state.params.at[state.step].set(batch["z"][:, 0].astype(jnp.int32))
        return state.replace(step=state.step + 1, params=rows), {}

    monkeypatch.setattr(cada_vae_classifier, "classifier_step", spy)
    config = ClassifierConfig(batch_size=batch)
    state = cada_vae_classifier.ClassifierState(
        step=jnp.zeros((), jnp.int32),
        params=jnp.full((passes * (size // batch + 1), batch), -1),
        optimiser=(),
        key=jax.random.key(0),
    )
    z, labels = jnp.arange(size, dtype=jnp.float32)[:, None], jnp.zeros(size, jnp.int32)
    one = jax.jit(lambda s: cada_vae_classifier.classifier_pass(s, z, labels, config, wrap))
    out = []
    for _ in range(passes):
        before = int(state.step)
        state = one(state)
        out.append(np.asarray(state.params[before : int(state.step)]))
    return out


def test_generalised_passes_drop_the_last_partial_batch(monkeypatch):
    first, second = rows_of_pass(monkeypatch, size=21, batch=4, wrap=False, passes=2)
    for rows in (first, second):
        assert rows.shape == (5, 4)
        assert len(np.unique(rows)) == 20 and rows.min() >= 0 and rows.max() < 21
    assert np.any(first != second)


@pytest.mark.parametrize(("size", "batch"), [(21, 4), (20, 4), (5, 8), (3, 8), (33, 32), (1, 2)])
def test_other_passes_walk_through_an_endless_stream_of_epochs(monkeypatch, size, batch):
    """Every run of `size` positions of the stream holds every row once, across passes too."""
    passes = rows_of_pass(monkeypatch, size, batch, wrap=True, passes=7)
    assert {len(rows) for rows in passes} == {-(-size // batch)}
    stream = np.concatenate(passes).reshape(-1)
    epochs = [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))
    assert size < 3 or len({tuple(epoch) for epoch in epochs}) > 1


def test_fewer_latents_than_a_batch():
    state = cada_vae_classifier.init_classifier(jax.random.key(0), 4, 3, CONFIG)
    z, labels = jnp.zeros((31, 4)), jnp.zeros(31, jnp.int32)
    with pytest.raises(ValueError, match="31 latents"):
        cada_vae_classifier.classifier_pass(state, z, labels, CONFIG, wrap=False)


@pytest.mark.parametrize("wrap", [False, True])
def test_seeds_in_one_program_are_the_seeds_one_after_another(wrap):
    rng = np.random.default_rng(0)
    labels = jnp.asarray(rng.integers(0, 3, 100), jnp.int32)
    z = jnp.asarray(rng.standard_normal((100, 4)) + 2 * np.eye(3, 4)[labels], jnp.float32)

    def one_pass(state):
        return cada_vae_classifier.classifier_pass(state, z, labels, CONFIG, wrap)

    states = [cada_vae_classifier.init_classifier(key, 4, 3, CONFIG) for key in seed_keys(0, 3)]
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together, alone = jax.jit(jax.vmap(one_pass)), jax.jit(one_pass)
    for _ in range(2):
        many, states = together(many), [alone(state) for state in states]
    for i, state in enumerate(states):
        assert state.step == 2 * (4 if wrap else 3)
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], many.params), state.params, atol=1e-6)


def test_it_learns():
    rng = np.random.default_rng(0)
    labels = jnp.asarray(rng.integers(0, 5, 640), jnp.int32)
    z = jnp.asarray(rng.standard_normal((640, 8)) + 6 * np.eye(5, 8)[labels], jnp.float32)
    state = cada_vae_classifier.init_classifier(jax.random.key(0), 8, 5, CONFIG)
    one = jax.jit(lambda s: cada_vae_classifier.classifier_pass(s, z, labels, CONFIG, False))
    for _ in range(30):
        state = one(state)
    assert np.mean(cada_vae_classifier.predict(state, z) == labels) > 0.98
