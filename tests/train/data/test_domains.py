"""Digits in another domain, and batches of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data.digits import Images
from train.data.domains import TwoDomains, in_colour, to_domain
from train.devices import data_mesh
from train.feed import DeviceFeed

IMAGES = Images(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32), np.arange(4, dtype=np.int32))


def test_colour_is_three_equal_channels():
    whole = in_colour(IMAGES)
    assert whole.image.shape == (4, 5, 6, 3)
    for channel in range(3):
        np.testing.assert_array_equal(whole.image[..., channel], IMAGES.image)


def test_simple_domains():
    np.testing.assert_allclose(to_domain(IMAGES, "inverted", 0).image[..., 1], 1 - IMAGES.image)
    rotated = to_domain(IMAGES, "rotated", 0).image
    assert rotated.shape == (4, 6, 5, 3)
    np.testing.assert_array_equal(rotated[2, ..., 0], np.rot90(IMAGES.image[2]))
    with pytest.raises(ValueError, match="mirrored"):
        to_domain(IMAGES, "mirrored", 0)


def test_gradients_of_colour():
    """Each its own, repeatable, linear along every side; a white pixel shows its complement."""
    black, white = (Images(np.full((3, 5, 5), v, np.float32), np.zeros(3, np.int32)) for v in (0, 1))
    found = to_domain(black, "coloured", 7).image
    assert found.dtype == np.float32 and found.min() >= 0 and 0.4 < found.max() <= 0.5
    np.testing.assert_array_equal(found, to_domain(black, "coloured", 7).image)
    assert np.abs(found - to_domain(black, "coloured", 8).image).max() > 0.05
    assert np.abs(found[0] - found[1]).max() > 0.05
    np.testing.assert_allclose(np.diff(found[:, 0], n=2, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 2, 2], found[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1), atol=1e-6)
    np.testing.assert_allclose(to_domain(white, "coloured", 7).image, 1 - found, atol=1e-6)


def test_batches_of_both_domains():
    """Each in the order of its feed, and the two orders differ."""
    many = Images(np.zeros((64, 2, 2, 3), np.float32), np.arange(64, dtype=np.int32))
    one = DeviceFeed.place(many, np.arange(64), 32, data_mesh())
    feed, key = TwoDomains(one, one), jax.random.key(0)
    chunk = feed.chunk(0, 2)
    batches = [feed.batch(chunk, key, jnp.asarray(step), jnp.asarray(0)) for step in (0, 1)]
    for domain in ("source", "target"):
        seen = np.concatenate([batch[domain]["label"] for batch in batches])
        np.testing.assert_array_equal(np.sort(seen), np.arange(64))
    first = batches[0]
    assert np.any(np.asarray(first["source"]["label"]) != np.asarray(first["target"]["label"]))
    own = one.batch(one.chunk(0, 1), key, jnp.asarray(0), jnp.asarray(0))
    np.testing.assert_array_equal(first["source"]["label"], own["label"])
