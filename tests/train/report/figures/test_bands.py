"""Curves over seeds in one panel: drawn, and refused where they don't fit."""

import numpy as np
import pytest
from PIL import Image

from train.report.figures import Panel, bands
from train.report.figures.canvas import BLUE, ORANGE


def count(path, colour):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels - wanted).max(-1) <= 2).sum())


def test_each_curve_is_drawn_in_its_colour(tmp_path):
    x = np.arange(1, 21)
    values = np.random.default_rng(0).uniform(0.4, 0.6, (4, 20))
    panel = Panel(x, {"S": values, "U": values - 0.3}, mark=("stops here", 7.0), levels={"ridge": 0.2})
    path = bands(tmp_path / "bands.png", {"validation": panel, "test": panel}, "passes", "accuracy")
    assert count(path, BLUE) > 500 and count(path, ORANGE) > 500


def test_one_seed_has_no_band_and_no_warning(tmp_path):
    path = bands(tmp_path / "one.png", {"test": Panel(np.arange(3), {"S": np.ones((1, 3))})}, "x", "y")
    assert count(path, BLUE) > 100


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no panels"):
        bands(tmp_path / "none.png", {}, "x", "y")
    with pytest.raises(ValueError, match="S has 4 values on an axis of 3"):
        bands(tmp_path / "short.png", {"a": Panel(np.arange(3), {"S": np.ones((2, 4))})}, "x", "y")
    assert not list(tmp_path.iterdir())
