"""The sheet that charts are drawn on."""

import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

from train.report.figures.canvas import ORANGE, chart, compact, panels, value_limits

FREE = (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.3, "0.3"), (-0.5, "−0.5"), (9999, "9999"), (25_000, "25k"), (1.5e6, "1.5M"),
        (3e-5, "3e−5"), (2.5e-4, "0.00025"), (-1e-12, "−1e−12"),
    ],
)  # fmt: skip
def test_compact(value, text):
    assert compact(value) == text


def test_a_chart_has_its_size_and_leaves_the_global_style_alone(tmp_path):
    before = matplotlib.rcParams.copy()
    with chart(tmp_path / "c.png", 3, 2) as figure:
        figure.add_subplot().axhline(0.5, color=ORANGE)
    with Image.open(tmp_path / "c.png") as image:
        assert image.size == (600, 400)
        assert np.ptp(np.asarray(image.convert("L"))) > 50
    assert dict(matplotlib.rcParams) == dict(before)


def test_nothing_is_written_when_drawing_fails(tmp_path):
    with pytest.raises(RuntimeError), chart(tmp_path / "c.png", 3, 2):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_panels_are_counted_row_by_row(tmp_path):
    with chart(tmp_path / "c.png", 3, 2) as figure:
        axes = panels(figure, 2, 2, 3)
    places = [panel.get_subplotspec() for panel in axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("low", "high", "bounds", "covers"),
    [
        (100.0, 101.0, FREE, 25),  # noise about a level takes a small part of the panel
        (0.012, 0.013, (0.0, 1.0), 0.012),  # a share begins at 0
        (-0.29, -0.28, FREE, 0.07),
        (0.0, 5.0, FREE, 5.0),
        (7.0, 7.0, FREE, 1.7),
        (0.0, 0.0, FREE, 0.1),
        (0.0, 0.0, (0.0, 1.0), 0.1),
        (0.2, 1.0, (0.0, 1.0), 1.0),
        (-1.0, 3.0, (0.0, math.inf), 4.0),  # what should not be is shown all the same
    ],
)
def test_an_axis_shows_the_values_and_does_not_blow_noise_up(low, high, bounds, covers):
    bottom, top = value_limits(low, high, bounds)
    assert bottom <= low <= high <= top and top - bottom >= covers * 0.99
    assert bottom >= 0 or low < 0
    assert top <= 1 or bounds[1] != 1
