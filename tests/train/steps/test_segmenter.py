"""The segmenter's update: loss by hand, unknown pixels, class weights, flips, schedule, and that it learns."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.metrics.segmentation import confusion_matrix, segmentation_scores
from train.steps import segmenter

CLASSES = 3
CONFIG = segmenter.SegmenterConfig(widths=(4, 8), learning_rate=2e-2, steps=200)
RNG = np.random.default_rng(0)
BATCH = {
    "image": RNG.integers(0, 256, (4, 8, 8, 3), np.uint8),
    "label": RNG.integers(0, CLASSES + 1, (4, 8, 8)).astype(np.int32),  # class 3 is unknown
}


@pytest.fixture(scope="module")
def state():
    return jax.jit(lambda: segmenter.init_state(jax.random.key(0), CONFIG, CLASSES))()


@functools.partial(jax.jit, static_argnums=3)
def objective(params, x, label, config):
    return segmenter.objective(params, x, label, config)


def test_the_loss_is_the_mean_over_known_pixels(state):
    x = segmenter.pixels_of(jnp.asarray(BATCH["image"]))
    weighted = dataclasses.replace(CONFIG, class_weights=(1.0, 0.5, 3.0))
    logits = np.asarray(segmenter.logits(state.params, x, CONFIG))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    known = BATCH["label"] < CLASSES
    picked, label = log_p[known], BATCH["label"][known]
    each = -picked[np.arange(len(label)), label]
    w = np.array([1.0, 0.5, 3.0])[label]
    loss, metrics = objective(state.params, x, BATCH["label"], CONFIG)
    np.testing.assert_allclose(loss, each.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (picked.argmax(-1) == label).mean(), rtol=1e-6)
    np.testing.assert_allclose(
        objective(state.params, x, BATCH["label"], weighted)[0], (w * each).sum() / w.sum(), rtol=1e-5
    )
    outside = np.where(known, BATCH["label"], 255)
    np.testing.assert_allclose(objective(state.params, x, outside, CONFIG)[0], loss)
    nothing = objective(state.params, x, np.full_like(outside, 255), CONFIG)
    chex.assert_trees_all_equal(nothing, (0.0, {"loss": 0.0, "accuracy": 0.0}))


def test_class_weights_must_fit(state):
    config = dataclasses.replace(CONFIG, class_weights=(1.0, 2.0))
    with pytest.raises(ValueError, match="2 class weights for 3 classes"):
        jax.eval_shape(
            lambda: segmenter.objective(state.params, jnp.zeros((1, 8, 8, 3)), BATCH["label"][:1], config)
        )


def test_flips_mirror_an_image_with_its_layout():
    """About half of them; an image whose pixels tell their class still tells it."""
    label = jnp.asarray(RNG.integers(0, 3, (200, 1, 5)))
    x = jnp.stack([label] * 3, axis=-1) / 2
    found_x, found_label = segmenter.flipped(x, label, jax.random.key(0))
    np.testing.assert_array_equal(found_x[..., 1] * 2, found_label)
    same, mirrored = ((found_label == array).all((1, 2)) for array in (label, label[:, :, ::-1]))
    assert (same | mirrored).all()
    assert 0.4 < mirrored.mean() < 0.7  # some are their own mirror image


def test_the_learning_rate_falls_along_a_cosine_or_stays():
    gradient = {"w": jnp.ones(1)}
    for schedule, last in (("cosine", 0.0), ("constant", 2e-2)):
        adam = segmenter.optimiser(dataclasses.replace(CONFIG, schedule=schedule, steps=4))
        state, sizes = adam.init(gradient), []
        for _ in range(5):
            update, state = adam.update(gradient, state)
            sizes.append(-float(update["w"][0]))
        np.testing.assert_allclose([sizes[0], sizes[-1]], [2e-2, last], rtol=1e-4, atol=1e-8)


def squares(key, count):
    """Images of a bright or a dark square on grey, with noise; class 0 is the ground."""
    at_key, kind_key, noise_key = jax.random.split(key, 3)
    at = jax.random.randint(at_key, (count, 2), 0, 5)
    kind = jax.random.randint(kind_key, (count, 1, 1), 1, 3)
    rows, columns = (
        (jnp.arange(8)[None] >= at[:, i, None]) & (jnp.arange(8)[None] < at[:, i, None] + 4) for i in (0, 1)
    )
    label = jnp.where(rows[:, :, None] & columns[:, None], kind, 0)
    shade = jnp.asarray([0.0, -0.7, 0.7])[label]
    noise = 0.1 * jax.random.normal(noise_key, (count, 8, 8, 3))
    return {"image": shade[..., None] + noise, "label": label}


@pytest.mark.slow
def test_it_learns_what_it_can_see(state):
    @jax.jit
    @chex.assert_max_traces(1)
    def train(state):
        def body(i, state):
            batch = squares(jax.random.fold_in(jax.random.key(1), i), 8)
            return segmenter.train_step(state, batch, CONFIG)[0]

        return jax.lax.fori_loop(0, CONFIG.steps, body, state)

    trained, held_out = train(state), squares(jax.random.key(2), 32)
    found = jax.jit(functools.partial(segmenter.segment, config=CONFIG))(trained.params, held_out["image"])
    scores = segmentation_scores(confusion_matrix(held_out["label"], found, CLASSES))
    assert scores.mean_iou > 0.8
    metrics = segmenter.eval_step(trained, held_out, jax.random.key(3), CONFIG)
    np.testing.assert_allclose(metrics["accuracy"], scores.pixel_accuracy, rtol=1e-5)


def test_bytes_and_floats_are_the_same_images():
    image = jnp.asarray([[[[0, 255, 51]]]], jnp.uint8)
    floats = segmenter.pixels_of(image)
    np.testing.assert_allclose(floats, [[[[-1, 1, -0.6]]]], rtol=1e-6)
    np.testing.assert_array_equal(segmenter.pixels_of(floats), floats)
