"""The renderer against measurements of real 3D Shapes frames."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import shapes3d

FRONTAL = 7
BASE_COLOURS = (
    (255, 0, 0), (255, 153, 0), (204, 255, 0), (51, 255, 0), (0, 255, 102),
    (0, 255, 255), (0, 102, 255), (51, 0, 255), (204, 0, 255), (255, 0, 153),
)  # fmt: skip
SIZES = """
17x18 19x19 20x21 22x23 24x24 26x26 28x27 30x29
17x21 19x23 21x24 23x26 24x28 26x30 27x33 29x35
17x18 20x19 21x22 23x23 25x25 27x27 29x29 31x30
14x28 15x30 17x33 17x36 19x38 21x41 21x44 23x47
"""
ALL = np.arange(shapes3d.SIZE)

render = jax.jit(shapes3d.render_batch)
label_map = jax.jit(jax.vmap(shapes3d.label_map))
instance_map = jax.jit(jax.vmap(shapes3d.instance_map))
factors_strategy = st.tuples(*(st.integers(0, n - 1) for n in shapes3d.FACTOR_SIZES))


def frames(**columns) -> np.ndarray:
    """Factors that are 0 and frontal but for the named columns."""
    count = max(np.size(v) for v in columns.values())
    factors = np.zeros((count, 6), np.int32)
    factors[:, 5] = FRONTAL
    for name, value in columns.items():
        factors[:, shapes3d.FACTOR_NAMES.index(name)] = value
    return factors


def test_index_is_a_bijection():
    factors = shapes3d.index_to_factors(ALL)
    assert factors.dtype == np.int32 and (factors >= 0).all() and (factors < shapes3d.FACTOR_SIZES).all()
    np.testing.assert_array_equal(shapes3d.factors_to_index(factors), ALL)
    np.testing.assert_array_equal(np.ravel_multi_index(tuple(factors.T), shapes3d.FACTOR_SIZES), ALL)


def test_index_in_jax_is_the_one_in_numpy():
    factors = jax.jit(shapes3d.index_to_factors)(jnp.asarray(ALL))
    assert isinstance(factors, jax.Array) and factors.dtype == jnp.int32
    np.testing.assert_array_equal(factors, shapes3d.index_to_factors(ALL))
    index = jax.jit(shapes3d.factors_to_index)(factors)
    assert index.dtype == jnp.int32
    np.testing.assert_array_equal(index, ALL)


@pytest.mark.parametrize("name", ["shapes3d_gif53", "shapes3d_real100"])
def test_mean_error_to_real_frames(shared, name):
    real = np.load(shared / "data" / "vision" / f"{name}.npz", allow_pickle=False)
    error = np.abs(np.asarray(render(real["factors"].astype(np.int32)), float) - real["x"])
    assert error[:, 2:-2, 2:-2].mean() < 6


def test_base_colours():
    """A surface keeps its hue: the strongest channel saturates with the gain, a zero channel stays zero."""
    images = np.asarray(render(frames(floor_hue=range(10), wall_hue=range(10))), float)
    for pixel in (images[:, 60, 8], images[:, 30, 4]):
        gain = pixel.max(1, keepdims=True) / 255
        dark = gain[:, 0] < 1
        np.testing.assert_allclose(pixel[dark], (BASE_COLOURS * gain)[dark], atol=1)
        np.testing.assert_array_equal(pixel == 0, np.array(BASE_COLOURS) == 0)


def test_unlit_channel_ratios_are_those_of_the_base_colours():
    np.testing.assert_array_equal(shapes3d._PALETTE, BASE_COLOURS)


def inside(mask: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours along both image axes belong to the mask as well, so that no ray leaves it."""
    return np.logical_and.reduce([np.roll(mask, s, a) for s in (-1, 1) for a in (-2, -1)]) & mask


@settings(max_examples=15, deadline=None)
@given(factors_strategy)
def test_sky_is_constant_and_labels_are_those_of_the_scene(factors):
    row = np.array([factors], np.int32)
    image, labels = np.asarray(render(row))[0], np.asarray(label_map(row))[0]
    assert (image[inside(labels == 0)] == (153, 226, 249)).all()
    assert {0, 1, 2, 9, 5 + factors[4]} <= set(np.unique(labels)) <= {0, 1, 2, 3, 4, 9, 5 + factors[4]}


@pytest.mark.parametrize("shape", range(4))
def test_object_sizes(shape):
    body = np.asarray(label_map(frames(scale=range(8), shape=shape))) == 5 + shape
    width, height = body.any(1).sum(1), body.any(2).sum(1)
    wanted = [size.split("x") for size in SIZES.split("\n")[1 + shape].split()]
    np.testing.assert_allclose(np.stack([width, height], -1), np.array(wanted, float), atol=1.5)
    lowest = [np.flatnonzero(rows).max() for rows in body.any(2)]
    low, high = ((54, 56), (55, 57), (52, 52), (52, 52))[shape]
    assert min(lowest) >= low and max(lowest) <= high


def test_corner_columns():
    """Columns at which one wall ends and the next begins, as measured on real frames."""
    row = np.asarray(label_map(frames(shape=2, orientation=range(15))))[:, 22]
    assert all((np.diff(row[t].astype(int)) == 0).all() for t in (6, 7, 8))
    right = [np.flatnonzero(row[t] == 4).min() for t in range(5)]
    left = [np.flatnonzero(row[t] == 3).max() + 1 for t in range(10, 15)]
    np.testing.assert_allclose(right, (44.1, 47.9, 51.9, 54.8, 59.4), atol=1.5)
    np.testing.assert_allclose(left, (4.6, 8.6, 12.4, 16.1, 19.6), atol=1.5)


def test_wall_rows():
    labels = np.asarray(label_map(frames(orientation=[FRONTAL, 14])))
    top, foot = ((labels == 0).sum(1), (labels < 5).sum(1) - (labels == 1).sum(1))
    np.testing.assert_allclose(top[0, [2, 61]], 17, atol=1)
    np.testing.assert_allclose(foot[0, [2, 61]], 40.5, atol=1.5)
    np.testing.assert_allclose(top[1, [4, 60, 20]], (15, 15, 19), atol=1.5)
    np.testing.assert_allclose(foot[1, [4, 60]], (41, 42), atol=1.5)


def test_shadow_is_darker_than_the_lit_floor_beside_it():
    rows = frames(shape=np.repeat(range(4), 15), orientation=np.tile(range(15), 4), scale=7)
    images, labels = np.asarray(render(rows), float)[..., 0], np.asarray(label_map(rows))
    near = (np.arange(64) >= 45)[:, None]
    for image, label in zip(images, labels, strict=True):
        shadow, lit = image[(label == 9) & near], image[(label == 1) & near]
        assert shadow.size and np.median(shadow) < 0.6 * np.median(lit)


def test_lamp_is_on_the_left():
    """A scene seen from 30 degrees left is not the mirror image of the one from 30 degrees right."""
    left, right = np.asarray(render(frames(shape=2, orientation=[0, 14])), float)
    assert np.abs(left - right[:, ::-1]).mean() > 5
    green = np.asarray(render(frames(shape=2, floor_hue=1)), float)[
        0, 44:50, :, 1
    ]  # a channel that never clips
    assert (
        green[:, :8].mean() > 1.2 * green[:, -8:].mean()
    )  # the real floor's gain: 1.2 and above against 0.9 and below


def test_highlight_on_round_bodies_only():
    cube, _, sphere, _ = np.asarray(render(frames(shape=range(4), scale=4, object_hue=0)))
    labels = np.asarray(label_map(frames(shape=range(4), scale=4)))
    assert sphere[labels[2] == 7].min(-1).max() == 30
    assert (cube[inside(labels[0] == 5)][:, 1:] == 0).all()


def test_instances_merge_the_classes_of_the_object():
    rows = frames(shape=range(4))
    labels, things = np.asarray(label_map(rows)), np.asarray(instance_map(rows))
    assert things.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(things == 5, (labels >= 5) & (labels <= 8))
    np.testing.assert_array_equal(things == 6, labels == 9)
    np.testing.assert_array_equal(things[things < 5], labels[things < 5])


def test_maps_lie_on_the_image():
    """A pixel's label, taken at its centre, explains its colour away from edges."""
    rows = shapes3d.index_to_factors(np.arange(17, shapes3d.SIZE, 24001))
    images, labels = np.asarray(render(rows), int), np.asarray(label_map(rows))
    walls = inside((labels >= 2) & (labels <= 4))
    for image, mask, factors in zip(images, walls, rows, strict=True):
        base = np.array(BASE_COLOURS[factors[1]])
        assert (image[mask][:, base == 0] == 0).all()


class RenderVariants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_one_equals_batch(self):
        rows = frames(shape=[1, 3], orientation=[0, 9])
        one = np.stack([self.variant(shapes3d.render)(jnp.asarray(row)) for row in rows]).astype(int)
        for batch in (render, jax.jit(jax.vmap(shapes3d.render))):
            assert np.abs(one - np.asarray(batch(rows))).max() <= 1  # a rounding may fall the other way
