"""The circular mean of hues, against the standard library's HSV and by hand."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import shapes3d
from train.data.layout_world import CUBE, LayoutWorld
from train.metrics.hue import hue_and_saturation, hue_distance, mean_hue

EVERYWHERE = np.ones((4, 4), bool)
COLOURS = np.random.default_rng(0).integers(0, 256, (200, 3))


def flat(*colours: tuple[float, float, float]) -> np.ndarray:
    """A 4 x 4 image of as many equal parts as there are colours."""
    return np.repeat(np.asarray(colours, float), 16 // len(colours), axis=0).reshape(4, 4, 3)


def test_hue_and_saturation_are_those_of_the_standard_library():
    expected = np.array([colorsys.rgb_to_hsv(*colour / 255)[:2] for colour in COLOURS])
    hue, saturation = hue_and_saturation(COLOURS)
    np.testing.assert_allclose(np.mod(hue / (2 * np.pi), 1), expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(saturation, expected[:, 1], atol=1e-12)


@pytest.mark.parametrize("turn", np.arange(10) / 10)
def test_one_colour_has_its_own_hue(turn):
    image = flat(colorsys.hsv_to_rgb(turn, 0.7, 0.4))
    np.testing.assert_allclose(hue_distance(mean_hue(image, EVERYWHERE), 2 * np.pi * turn), 0, atol=1e-7)


def test_the_mean_goes_round_the_circle_and_is_weighed_by_saturation():
    # 350 and 10 degrees: the mean is 0, not 180.
    image = flat(*(colorsys.hsv_to_rgb(angle / 360, 1, 1) for angle in (350, 10)))
    np.testing.assert_allclose(mean_hue(image, EVERYWHERE), 0, atol=1e-12)
    # Vectors of length 1 at 0 and 1 / 2 at 90 degrees.
    image = flat(colorsys.hsv_to_rgb(0, 1, 1), colorsys.hsv_to_rgb(0.25, 0.5, 1))
    np.testing.assert_allclose(mean_hue(image, EVERYWHERE), np.arctan(0.5), rtol=1e-12)


def test_only_the_mask_counts_and_grey_has_no_hue():
    image, mask = flat((0, 255, 0), (7, 7, 7)).astype(np.uint8), np.zeros((4, 4), bool)
    mask[0] = True
    np.testing.assert_allclose(mean_hue(image, mask), 2 * np.pi / 3)
    np.testing.assert_allclose(mean_hue(image, EVERYWHERE), 2 * np.pi / 3)
    assert np.isnan(mean_hue(image, mask[::-1])) and np.isnan(mean_hue(image, ~EVERYWHERE))
    assert np.isnan(hue_distance(mean_hue(image, ~EVERYWHERE), 0.0))


@settings(max_examples=25)
@given(st.floats(0, 2 * np.pi), st.floats(0, np.pi))
def test_distance_is_the_shorter_way_round(hue, apart):
    for other in (hue + apart, hue - apart, hue + apart + 2 * np.pi):
        np.testing.assert_allclose(hue_distance(hue, other), apart, atol=1e-9)


def test_each_image_by_itself():
    images = np.random.default_rng(1).integers(0, 256, (3, 2, 4, 4, 3)).astype(np.uint8)
    masks = np.random.default_rng(2).random((3, 2, 4, 4)) < 0.5
    expected = [[mean_hue(images[i, j], masks[i, j]) for j in range(2)] for i in range(3)]
    np.testing.assert_array_equal(mean_hue(images, masks), expected)


def test_the_photo_of_a_hue_has_that_hue():
    """The renderer's ten hues, whatever the light."""
    factors = np.array([[5, 3, hue, 4, 0, 7] for hue in range(10)])
    batch = LayoutWorld(16)[shapes3d.factors_to_index(factors)]
    found = mean_hue(batch["image"], batch["label"] == CUBE)
    assert np.degrees(hue_distance(found, 2 * np.pi * np.arange(10) / 10)).max() < 12
