"""Augmentation of pairs against NumPy, and what must hold of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers import augment as module
from jaxmodels.layers.augment import Draw, draw

RNG = np.random.default_rng(0)
LAYOUT = jnp.asarray(np.eye(3, dtype=np.float32)[RNG.integers(0, 3, (4, 16, 24))])
IMAGE = jnp.asarray(RNG.uniform(-1, 1, (4, 16, 24, 3)).astype(np.float32))
KINDS = ("colour", "translation", "cutout")
augment = jax.jit(module.augment, static_argnums=3)


def numbers(colour=0.5, shift=0.5, centre=0.5):
    """The same draw for every example; what halves leave alone, cutout apart, is the pair."""
    rows = (np.full((n, 4), value, np.float32) for n, value in ((3, colour), (2, shift), (2, centre)))
    return Draw(*rows)


def test_nothing_asked_is_nothing_done():
    layout, image = module.augment(draw(jax.random.key(0), 4), LAYOUT, IMAGE, ())
    assert layout is LAYOUT
    assert image is IMAGE


@pytest.mark.parametrize("kind", ["colour", "translation"])
def test_the_middle_of_the_range_is_the_identity(kind):
    layout, image = augment(numbers(), LAYOUT, IMAGE, (kind,))
    np.testing.assert_array_equal(layout, LAYOUT)
    np.testing.assert_allclose(image, IMAGE, atol=1e-6)


def test_colour():
    """Brightness, then saturation about the grey of every pixel, then contrast about the mean of the image."""
    moved = draw(jax.random.key(0), 4)
    layout, image = augment(moved, LAYOUT, IMAGE, ("colour",))
    np.testing.assert_array_equal(layout, LAYOUT)
    for b in range(4):
        brightness, saturation, contrast = np.asarray(moved.colour[:, b], np.float64)
        expected = np.asarray(IMAGE[b], np.float64) + brightness - 0.5
        grey = expected.mean(-1, keepdims=True)
        expected = grey + 2 * saturation * (expected - grey)
        expected = expected.mean() + (contrast + 0.5) * (expected - expected.mean())
        np.testing.assert_allclose(image[b], expected, atol=1e-5)


@pytest.mark.parametrize(("shift", "rows", "columns"), [(0.0, 2, 3), (0.999, -2, -3)])
def test_translation_takes_the_layout_along(shift, rows, columns):
    """Up to an eighth of the size either way; zeros move in, in the one-hot layout too."""
    moved = augment(numbers(shift=shift), LAYOUT, IMAGE, ("translation",))
    for ours, before in zip(moved, (LAYOUT, IMAGE), strict=True):
        expected = np.roll(np.asarray(before), (rows, columns), (1, 2))
        expected[:, slice(0, rows) if rows > 0 else slice(rows, None)] = 0
        expected[:, :, slice(0, columns) if columns > 0 else slice(columns, None)] = 0
        np.testing.assert_array_equal(ours, expected)


def test_every_shift_is_as_likely():
    """2 * 2 + 1 shifts of rows: a pixel in the middle lands on each of five rows a fifth of the time."""
    dots = np.zeros((300, 16, 24, 3), np.float32)
    dots[:, 8, 12] = 1
    _, image = augment(draw(jax.random.key(1), 300), dots, dots, ("translation",))
    rows, columns = np.asarray(image).sum((2, 3)) / 3, np.asarray(image).sum((1, 3)) / 3
    np.testing.assert_allclose(rows.mean(0)[6:11], 0.2, atol=0.08)
    np.testing.assert_allclose(columns.mean(0)[9:16], 1 / 7, atol=0.08)


@pytest.mark.parametrize("centre", [0.0, 0.35])
def test_cutout(centre):
    layout, image = augment(numbers(centre=centre), LAYOUT, IMAGE, ("cutout",))
    np.testing.assert_array_equal(layout, LAYOUT)
    expected = np.asarray(IMAGE).copy()
    for i in range(16):
        for j in range(24):
            if abs(i - centre * 16) < 4 and abs(j - centre * 24) < 6:
                expected[:, i, j] = 0
    np.testing.assert_array_equal(image, expected)


def test_gradients_of_all_of_them_are_finite():
    """The gradient reaches every image through what did not remove it."""

    @jax.jit
    def gradient(moved, image):
        return jax.grad(lambda image: jnp.sum(jnp.sin(module.augment(moved, LAYOUT, image, KINDS)[1])))(image)

    out = np.asarray(gradient(draw(jax.random.key(2), 4), IMAGE))
    assert np.isfinite(out).all()
    assert (np.abs(out).sum((1, 2, 3)) > 0).all()


def test_examples_differ():
    moved = draw(jax.random.key(3), 4)
    assert all(len(np.unique(row)) == 4 for array in jax.tree.leaves(moved) for row in array)
