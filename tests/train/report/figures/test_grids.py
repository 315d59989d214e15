"""Grids of images hold every pixel where it belongs."""

import numpy as np
import pytest
from PIL import Image

from train.report.figures import image_grid
from train.report.figures.grids import GUTTER, TEXT


def read(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def images(rows=2, columns=3, height=8, width=10):
    return np.random.default_rng(0).integers(0, 256, (rows, columns, height, width, 3), dtype=np.uint8)


def test_pixels_are_enlarged_and_placed_in_order(tmp_path):
    pictures = images()
    sheet = read(image_grid(tmp_path / "g.png", pictures, scale=2))
    assert sheet.shape == (2 * 16 + GUTTER, 3 * 20 + 2 * GUTTER, 3)
    for row in range(2):
        for column in range(3):
            top, left = row * (16 + GUTTER), column * (20 + GUTTER)
            cell = sheet[top : top + 16, left : left + 20]
            np.testing.assert_array_equal(cell[::2, ::2], pictures[row, column])
            np.testing.assert_array_equal(cell[1::2, 1::2], pictures[row, column])
    assert (sheet[16 : 16 + GUTTER] == 255).all()


def test_floats_are_clipped_and_rounded(tmp_path):
    pictures = np.array([-0.1, 0.0, 0.5, 1.0, 1.2], np.float32).reshape(1, 5, 1, 1, 1).repeat(3, -1)
    sheet = read(image_grid(tmp_path / "g.png", pictures, scale=1))
    assert sheet[0, :: 1 + GUTTER, 0].tolist() == [0, 0, 128, 255, 255]


def test_labels_take_their_own_room(tmp_path):
    plain = read(image_grid(tmp_path / "a.png", images(2, 3, 64, 64), scale=2))
    labelled = read(
        image_grid(tmp_path / "b.png", images(2, 3, 64, 64), ["original", "copy"], ["−3", "0", "3"], scale=2)
    )
    head, margin = (labelled.shape[i] - plain.shape[i] for i in (0, 1))
    np.testing.assert_array_equal(labelled[head:, margin:], plain)
    assert (labelled[:head] < 128).any()
    assert (labelled[:, :margin] < 128).any()
    assert (labelled[:, 0] == 255).all()  # no letter touches the border


def test_long_column_labels_do_not_overlap(tmp_path):
    sheet = read(
        image_grid(tmp_path / "g.png", np.zeros((1, 4, 8, 8, 3)), None, ["a very long label"] * 4, scale=16)
    )
    cell = 8 * 16 + GUTTER
    head = sheet[: sheet.shape[0] - 128]
    for column in range(1, 4):
        assert (head[:, column * cell - GUTTER : column * cell] > 200).all()


@pytest.mark.parametrize("columns", [1, 2, 10, 15, 40])
def test_the_default_scale_fills_the_page_without_huge_images(tmp_path, columns):
    sheet = read(image_grid(tmp_path / "g.png", np.zeros((1, columns, 64, 64, 3))))
    assert sheet.shape[0] <= 256
    assert columns * 64 <= sheet.shape[1] <= max(2400, columns * 64 * 1.2)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 2, 8, 8, 1), (0, 2, 8, 8, 3)])
def test_other_shapes_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="a grid needs images"):
        image_grid(tmp_path / "g.png", np.zeros(shape))


def test_non_finite_images_and_missing_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="non-finite"):
        image_grid(tmp_path / "g.png", np.full((1, 1, 2, 2, 3), np.nan))
    with pytest.raises(ValueError, match="1 row labels for 2 rows"):
        image_grid(tmp_path / "g.png", images(), ["one"])
    assert list(tmp_path.iterdir()) == []


def test_a_legend_below_keeps_the_grid(tmp_path):
    """Every colour is there once, in rows as the width allows."""
    pictures = np.full((1, 3, 20, 100, 3), 250, np.uint8)
    plain = read(image_grid(tmp_path / "plain.png", pictures, scale=1))
    colours = [(10 * i, 0, 200) for i in range(12)]
    entries = [(f"class number {i}", colour) for i, colour in enumerate(colours)]
    sheet = read(image_grid(tmp_path / "g.png", pictures, scale=1, legend=entries))
    np.testing.assert_array_equal(sheet[: len(plain)], plain)
    below = sheet[len(plain) :].reshape(-1, 3)
    counts = [(below == colour).all(1).sum() for colour in colours]
    assert min(counts) == max(counts) > 100 and len(sheet) > len(plain) + 12 / 2 * TEXT
    narrow = read(image_grid(tmp_path / "n.png", pictures[:, :1], scale=1, legend=[("x" * 500, (1, 2, 3))]))
    assert narrow.shape[1] == 100
