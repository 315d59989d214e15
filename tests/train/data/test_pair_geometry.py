"""Sizes of every mode, the same place for all of a triple, and the nearest neighbour against its formula."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from train.data.pair_geometry import Geometry, nearest_index, place_map, place_photo, resize_nearest
from train.errors import UserError

SIDES = st.integers(1, 40)


@settings(max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_nearest_is_the_pixel_below_the_centre(height, width, new_height, new_width):
    array = np.arange(height * width).reshape(height, width)
    resized = resize_nearest(array, new_width, new_height)
    for i in range(new_height):
        for j in range(0, new_width, 7):
            row = math.floor((2 * i + 1) * height / (2 * new_height))
            column = math.floor((2 * j + 1) * width / (2 * new_width))
            assert resized[i, j] == array[row, column]


@pytest.mark.parametrize(("size", "new_size"), [(256, 286), (192, 143), (480, 128), (100, 3), (7, 64)])
def test_nearest_is_pillows(size, new_size):
    row = np.arange(size, dtype=np.int32)[None]
    expected = np.asarray(Image.fromarray(row).resize((new_size, 1), Image.Resampling.NEAREST))[0]
    on_border = (2 * np.arange(new_size) + 1) * size % (2 * new_size) == 0  # there Pillow rounds either way
    differ = nearest_index(size, new_size) != expected
    assert not (differ & ~on_border).any() and on_border.mean() < 0.5


def test_doubling_repeats_and_halving_takes_the_lower_middle():
    np.testing.assert_array_equal(nearest_index(3, 6), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(nearest_index(6, 3), [1, 3, 5])
    np.testing.assert_array_equal(nearest_index(5, 5), np.arange(5))


@pytest.mark.parametrize(
    ("mode", "resized"),
    [
        ("resize_and_crop", (30, 30)),
        ("scale_width", (30, 13)),
        ("scale_width_and_crop", (30, 13)),
        ("scale_shortside", (66, 30)),
        ("scale_shortside_and_crop", (66, 30)),
        ("fixed", (12, 8)),
        ("crop", (100, 45)),
        ("none", (96, 32)),
    ],
)
def test_sizes(mode, resized):
    geometry = Geometry(mode, 30, 12, aspect_ratio=1.5)
    assert geometry.resized(100, 45) == resized
    placement = geometry.place(100, 45, np.random.default_rng(0))
    final = (12, 12) if mode.endswith("crop") else resized
    assert (placement.final_width, placement.final_height) == final


def test_portrait():
    assert Geometry("scale_shortside", 30, 12).resized(45, 100) == (30, 66)
    assert Geometry("scale_width", 30, 12).resized(45, 100) == (30, 66)
    assert Geometry("fixed", 0, 9, aspect_ratio=2.0).resized(45, 100) == (9, 4)  # half to even, as in Python


def test_corners_are_uniform_and_reach_both_ends():
    geometry, random = Geometry("resize_and_crop", 8, 5), np.random.default_rng(0)
    drawn = [geometry.place(20, 20, random) for _ in range(4000)]
    corners = Counter((p.left, p.top) for p in drawn)
    assert set(corners) == {(x, y) for x in range(4) for y in range(4)}
    assert min(corners.values()) > 180  # 250 expected, five standard deviations
    assert abs(sum(p.flip for p in drawn) - 2000) < 160


def test_evaluation_takes_the_middle_and_never_flips():
    geometry = Geometry("scale_shortside_and_crop", 30, 12).for_evaluation()
    placement = geometry.place(100, 50, None)
    assert placement == (24, 12, 6, 0, 12, 12, False)
    assert Geometry("crop", 0, 12).for_evaluation().place(20, 15, None)[2:4] == (4, 1)
    assert Geometry("scale_width", 30, 12).for_evaluation().resized(60, 20) == (30, 10)
    wide = Geometry("scale_width_and_crop", 30, 12).for_evaluation()
    assert wide.resized(60, 30) == (24, 12) and wide.resized(30, 60) == (12, 24)


def test_the_official_crop_range_takes_the_shorter_side_as_it_was():
    official = Geometry("scale_shortside_and_crop", 30, 12, official_crop_range=True)
    random = np.random.default_rng(0)
    # 20 high, resized to 30: the lowest third is never seen.
    assert {official.place(40, 20, random).top for _ in range(200)} == set(range(9))
    # 50 high, resized to 30: crops leave the image and are filled with zeros.
    placement = next(p for p in (official.place(100, 50, random) for _ in range(200)) if 20 < p.top < 30)
    label = place_map(np.ones((50, 100), np.int32), placement)
    assert label.shape == (12, 12) and not label[30 - placement.top :].any() and label[0].all()
    photo = place_photo(Image.new("RGB", (100, 50), "white"), placement)
    np.testing.assert_array_equal(photo == 0, np.repeat(label[..., None] == 0, 3, axis=2))
    right = Geometry("scale_shortside_and_crop", 30, 12)
    assert {right.place(40, 20, random).top for _ in range(300)} == set(range(19))


@settings(max_examples=20)
@given(st.sampled_from(["resize_and_crop", "scale_width_and_crop", "crop", "fixed"]), st.integers(0, 10**6))
def test_photo_and_map_stay_in_place(mode, seed):
    """A photo that is its own map is still its own map, wherever it was cut and however it was mirrored."""
    column = np.tile(np.arange(64, dtype=np.int32), (48, 1))
    photo = Image.fromarray(np.repeat(2 * column[..., None], 3, axis=2).astype(np.uint8))
    placement = Geometry(mode, 100, 40).place(64, 48, np.random.default_rng(seed))
    label, image = place_map(column, placement), place_photo(photo, placement)
    assert label.shape == image.shape[:2]
    assert np.abs(image[..., 0] / 2 - label).max() <= 1.5
    assert (label[:, 0] > label[:, -1]).all() == placement.flip


def test_too_small_for_the_crop():
    with pytest.raises(
        UserError, match=r"--data.crop-size = 12: an image of 20 x 10 becomes 20 x 10, smaller"
    ):
        Geometry("crop", 0, 12).place(20, 10, None)
