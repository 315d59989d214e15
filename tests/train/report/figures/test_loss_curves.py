"""Loss curves: the running mean against a loop, and panels for everything a run may log."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from train.report.figures import Curve, curves
from train.report.figures.loss_curves import running_mean


def draw(path, series):
    with Image.open(curves(path, series)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_running_mean_is_that_of_a_loop(time, window, seed):
    random = np.random.default_rng(seed)
    window = min(window, time)
    values = random.normal(size=(time, 2))
    values[random.random((time, 2)) < 0.2] = np.nan
    smooth = running_mean(values, window)
    for step in range(time):
        first = step - window // 2
        rows = values[max(0, first) : first + window]
        for seed_index in range(2):
            finite = rows[np.isfinite(rows[:, seed_index]), seed_index]
            expected = finite.mean() if finite.size else np.nan
            np.testing.assert_allclose(smooth[step, seed_index], expected, atol=1e-12)


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 7])
def test_any_number_of_panels_is_drawn_on_the_page(tmp_path, panels):
    steps = np.arange(100)
    values = np.random.default_rng(0).normal(size=(100, 4))
    image = draw(tmp_path / "c.png", {f"term {i}": Curve(steps, values) for i in range(panels)})
    assert image.shape[1] == (1800 if panels > 1 else 1188)
    blue = (np.abs(image - [0, 114, 178]).max(-1) <= 2).sum()
    assert blue > 500 * panels


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0]),
        np.full(5, np.nan),
        np.array([[1.0, np.nan], [2.0, 3.0]]),
        np.array([0.0, -1.0, 5.0]),
        np.full(30, 7.0),
        np.array([1.0, np.inf]),
        np.array([1e-30, 1e30]),
    ],
    ids=["one", "nan", "a seed lost", "not positive", "constant", "infinite", "huge range"],
)
@pytest.mark.parametrize("log", [False, True])
def test_awkward_values(tmp_path, values, log):
    draw(tmp_path / "c.png", {"t": Curve(np.arange(len(values)), values, log=log)})


def test_long_runs_units_and_hostile_names(tmp_path):
    steps = np.arange(1, 100_001)
    curve = Curve(
        steps, 1e3 / steps, "½ squared error, $summed$ over \\frac pixels", True, {"mean $image": 40.0}
    )
    image = draw(tmp_path / "c.png", {"$\\undefined": curve, "b": curve})
    assert (np.abs(image - [213, 94, 0]).max(-1) <= 2).sum() > 200  # the reference line


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(ValueError, match="no points"):
        curves(tmp_path / "c.png", {})
    with pytest.raises(ValueError, match="no points"):
        curves(tmp_path / "c.png", {"t": Curve(np.array([]), np.array([]))})
