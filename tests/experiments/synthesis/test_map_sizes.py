"""Label maps of any size become what the network was trained on, or are refused at once."""

from pathlib import Path

import numpy as np
import pytest

from experiments.synthesis.map_sizes import fitting, geometry_for, resized, rows_by_size, size_after
from train.data.label_config import LayoutConfig
from train.errors import UserError
from train.layout import Layout
from train.steps.gaugan_networks import GauGANConfig

SQUARE, WIDE = Layout(3, False, False, 64, 64), Layout(3, False, False, 32, 64)
PLAIN, STYLED = GauGANConfig(), GauGANConfig(vae=True)


def files(mode, **more):
    return LayoutConfig(source="folders", classes=3, crop_size=64, resize_mode=mode, **more)


@pytest.mark.parametrize(
    ("data", "layout", "size", "wanted"),
    [
        (LayoutConfig(crop_size=64), SQUARE, (7, 31), (64, 64)),
        (files("resize_and_crop"), SQUARE, (100, 30), (64, 64)),
        (files("scale_shortside_and_crop"), SQUARE, (100, 30), (64, 64)),
        (files("scale_width_and_crop"), SQUARE, (30, 100), (64, 64)),
        (files("fixed", aspect_ratio=2.0), WIDE, (100, 100), (32, 64)),
        (files("scale_width", load_size=64), WIDE, (50, 100), (32, 64)),
        (files("none"), SQUARE, (70, 100), (64, 96)),
        (files("crop"), SQUARE, (70, 100), (64, 64)),
    ],
)
def test_maps_are_resized_as_in_training(data, layout, size, wanted):
    geometry = geometry_for(data, layout)
    assert size_after(geometry, layout, size, Path("x")) == wanted
    label = np.random.default_rng(0).integers(0, 3, size).astype(np.int32)
    assert resized(label, geometry, layout).shape == wanted
    assert size_after(None, layout, size, Path("x")) == size and resized(label, None, layout) is label
    own = np.zeros((layout.height, layout.width), np.int32)
    assert resized(own, geometry, layout) is own


def test_nearest_pixels():
    label = np.array([[0, 1], [2, 1]], np.int32)
    assert np.unique(resized(label, geometry_for(LayoutConfig(), SQUARE), SQUARE), return_counts=True)[1].tolist() == [
        1024, 2048, 1024,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("network", "size", "own", "message"),
    [
        (
            STYLED,
            (128, 128),
            (128, 128),
            "128 x 128 pixels, a network with styles makes 64 x 64 only; .*--no-resize",
        ),
        (
            STYLED,
            (64, 96),
            (70, 100),
            "100 x 70 pixels and becomes 96 x 64, a network with styles .* of 64 x 64$",
        ),
        (PLAIN, (50, 70), (50, 70), "70 x 50 pixels, which the network can't double to; .*--no-resize"),
    ],
)
def test_sizes_that_the_network_can_not_make(network, size, own, message):
    with pytest.raises(UserError, match=f"--labels = x.png: is {message}") as error:
        fitting(SQUARE, network, size, Path("x.png"), own)
    assert "--batch-size" not in str(error.value)


def test_sizes_that_it_can():
    assert fitting(SQUARE, STYLED, (64, 64), Path("x"), (9, 9)) is SQUARE
    larger = fitting(SQUARE, PLAIN, (128, 64), Path("x"), (128, 64))
    assert (larger.height, larger.width) == (128, 64)


def test_too_small_for_the_crop():
    with pytest.raises(
        UserError, match=r"--labels = x: an image of 100 x 50 becomes .*; give maps of 64 x 64"
    ):
        size_after(geometry_for(files("crop"), SQUARE), SQUARE, (50, 100), Path("x"))


def test_every_map_is_in_one_batch_of_its_size():
    sizes = [(1, 1), (2, 2), (1, 1), (1, 1), (2, 2)]
    assert list(rows_by_size(sizes, 2)) == [[0, 2], [3], [1, 4]]
