"""The procedural layouts: labels of the same rays as the photo, blind to hue, in disjoint parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data import scene, shapes3d
from train.data.layout_world import CLASS_OF_SURFACE, FLOOR, SKY, WALL, LayoutWorld
from train.devices import data_mesh, use_mesh
from train.feed import DeviceFeed
from train.shuffle import epoch_index

SHAPE = 4
"""The column of the object's shape among the factors."""


@pytest.fixture(scope="module")
def world():
    return LayoutWorld(48)


@pytest.fixture(scope="module")
def some(world):
    """The layouts of forty scenes, and their factors."""
    rows = world.parts.test[:40]
    return world[rows], shapes3d.index_to_factors(rows)


def test_a_batch_is_as_the_layout_says(world, some):
    batch, layout = some[0], world.layout
    assert {key: (a.shape, a.dtype) for key, a in batch.items()} == {
        "label": ((40, 48, 48), np.int32),
        "instance": ((40, 48, 48), np.int32),
        "image": ((40, 48, 48, 3), np.uint8),
    }
    assert batch["label"].min() == 0 and batch["label"].max() == layout.classes - 1
    assert layout.channels == 8 and not layout.dont_care
    assert CLASS_OF_SURFACE[scene.SHADOW] == FLOOR and CLASS_OF_SURFACE[scene.CAPSULE] == 6


def test_the_object_has_its_shape_and_every_surface_an_instance(some):
    batch, factors = some
    for label, instance, row in zip(batch["label"], batch["instance"], factors, strict=True):
        assert set(np.unique(label)) - {SKY, FLOOR, WALL} == {3 + row[SHAPE]}
        np.testing.assert_array_equal(instance == 5, label == 3 + row[SHAPE])
        np.testing.assert_array_equal(np.isin(instance, (2, 3, 4)), label == WALL)
        for surface in np.unique(instance):
            assert len(np.unique(label[instance == surface])) == 1


def test_the_layout_does_not_tell_the_hues(world, some):
    _, factors = some
    other = factors.copy()
    other[:, :3] = (other[:, :3] + 3) % 10
    one, two = (world[shapes3d.factors_to_index(f)] for f in (factors, other))
    np.testing.assert_array_equal(one["label"], two["label"])
    np.testing.assert_array_equal(one["instance"], two["instance"])
    assert np.abs(one["image"].astype(int) - two["image"]).max(axis=(1, 2, 3)).min() > 50


def test_the_photo_shows_the_labelled_surface(some):
    """Away from borders the sky has its one colour, and nothing else has."""
    batch, _ = some
    label = batch["label"]
    inner = np.ones_like(label, bool)
    for axis in (1, 2):
        for shift in (-1, 1):
            inner &= np.roll(label, shift, axis) == label
    is_sky = (batch["image"] == (153, 226, 249)).all(-1)
    np.testing.assert_array_equal(is_sky[inner], (label == SKY)[inner])


def test_any_size_shows_the_same_view(world):
    small, large = LayoutWorld(16)[np.arange(3)], world[np.arange(3)]
    assert small["image"].shape == (3, 16, 16, 3)
    # The centre of a pixel is the centre of the middle one of nine.
    np.testing.assert_array_equal(small["label"], large["label"][:, 1::3, 1::3])
    shrunk = large["image"].reshape(3, 16, 3, 16, 3, 3).mean((2, 4))
    assert np.abs(shrunk - small["image"]).mean() < 3


def test_parts_are_disjoint_and_hold_every_layout(world):
    parts = world.parts
    assert len(np.unique(np.concatenate(parts))) == len(world) == 480_000
    for part in parts:
        assert len(np.unique(part % 480)) == 480  # scale, shape and orientation vary fastest


def test_it_feeds_the_step():
    """What is rendered inside the compiled program is what the host renders."""
    world, mesh, order_key = LayoutWorld(16), data_mesh(), jax.random.key(0)
    feed = DeviceFeed.place(world, world.parts.train, 8, mesh)
    with use_mesh(mesh):
        batch = jax.jit(feed.batch)(feed.chunk(0, 1), order_key, jnp.int32(3), jnp.int32(0))
    rows = feed.rows[epoch_index(order_key, 3, 8, len(feed.rows))]
    for name, expected in world[np.asarray(rows)].items():
        np.testing.assert_array_equal(batch[name], expected)
