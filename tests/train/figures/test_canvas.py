"""The sheet that charts are drawn on."""

import matplotlib
import numpy as np
import pytest
from PIL import Image

from train.figures.canvas import ORANGE, chart, compact, panels


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
