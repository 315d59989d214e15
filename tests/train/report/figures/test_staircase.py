"""Estimates over a truth in steps: drawn, averaged as told, and refused where there is nothing."""

import numpy as np
import pytest
from PIL import Image

from train.report.figures.canvas import BLUE, INK, ORANGE
from train.report.figures.staircase import Staircase, moving_average, staircases


def count(path, colour):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels - wanted).max(-1) <= 2).sum())


@pytest.mark.parametrize("estimators", [1, 4])
def test_estimates_truth_and_ceiling_are_drawn(estimators, tmp_path):
    steps, truth = np.arange(1, 101), np.repeat([2.0, 4.0], 50)
    values = truth[:, None] + np.random.default_rng(0).normal(0, 0.1, (100, 2))
    one = Staircase(steps, truth, values, ("log K", 4.16))
    path = staircases(tmp_path / "s.png", {f"e{i}": one for i in range(estimators)}, 20, "nats")
    assert min(count(path, colour) for colour in (BLUE, INK, ORANGE)) > 200


def test_moving_average_is_that_of_the_definition():
    values = np.random.default_rng(0).normal(size=(30, 2))
    found, keep = moving_average(values, 9), 1 - 2 / 10
    for row in range(30):
        weights = keep ** np.arange(row, -1, -1)
        np.testing.assert_allclose(found[row], weights @ values[: row + 1] / weights.sum())


def test_nothing_to_draw_is_refused(tmp_path):
    empty = Staircase(np.zeros(0), np.zeros(0), np.zeros((0, 1)))
    for shown in ({}, {"NWJ": empty}):
        with pytest.raises(ValueError, match="no values"):
            staircases(tmp_path / "none.png", shown, 20, "nats")
    assert not list(tmp_path.iterdir())
