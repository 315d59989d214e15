"""Charts are PNG files of the right size that show their data."""

import numpy as np
import pytest
from PIL import Image

from train.report.figures import distance_scatter, heat_map, latent_histograms
from train.report.figures.canvas import BLUE, ORANGE


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(pixels, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels.astype(int) - wanted).max(-1) <= 2).sum())


def test_distance_scatter_shows_density_and_the_identity(tmp_path):
    random = np.random.default_rng(0)
    latent = random.uniform(0, 5, 2000)
    path = distance_scatter(tmp_path / "gw.png", latent, 2 * latent + random.normal(0, 0.1, 2000), scale=2.0)
    pixels = pixels_of(path)
    assert pixels.shape == (990, 1116, 3)
    assert count(pixels, ORANGE) > 1000
    assert (pixels[..., 2].astype(int) - pixels[..., 0] > 60).sum() > 5000  # bluish cells


def titles_of(monkeypatch):
    titles = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **_: titles.append(text))
    return titles


def test_distance_scatter_reports_the_scaled_difference(tmp_path, monkeypatch):
    titles = titles_of(monkeypatch)
    distance_scatter(tmp_path / "gw.png", np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0]), scale=2.0)
    assert titles == ["correlation 1.000   mean |difference| 1"]


def test_distance_scatter_of_collapsed_codes(tmp_path, monkeypatch):
    titles = titles_of(monkeypatch)
    distance_scatter(tmp_path / "gw.png", np.zeros(9), np.zeros(9))
    assert titles == ["correlation undefined   mean |difference| 0"]


def test_heat_map_of_importances(tmp_path):
    matrix = np.zeros((10, 6))
    matrix[3, 2] = 1.0
    names = ["floor hue", "wall hue", "object hue", "scale", "shape", "orientation"]
    pixels = pixels_of(
        heat_map(tmp_path / "r.png", matrix, [f"z{i}" for i in range(10)], names, "importance")
    )
    dark = (np.abs(pixels.astype(int) - [8, 48, 107]).max(-1) <= 2).sum()
    cell = pixels.shape[0] * pixels.shape[1] / 60
    assert 0.5 * cell < dark < cell  # one cell of sixty is filled, less margins and its number


def test_heat_map_writes_values_with_fitting_decimals_and_a_dash_for_none(tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda self, x, y, text, **_: texts.append(text))
    heat_map(tmp_path / "r.png", np.array([[0.125, np.nan], [-0.5, 1.0]]), "ab", "cd", "t")
    heat_map(tmp_path / "r.png", np.array([[51.4, 0.2]]), "a", "cd", "t")
    heat_map(tmp_path / "r.png", np.zeros((1, 1)), "a", "c", "t")
    assert texts == ["0.12", "–", "−0.50", "1.00", "51", "0", "0.00"]


@pytest.mark.parametrize("shape", [(64, 40), (1, 1), (3, 9)])
def test_heat_maps_stay_within_the_page(tmp_path, shape):
    names = [f"a rather long attribute {i}" for i in range(shape[1])]
    path = heat_map(tmp_path / "r.png", np.ones(shape), [f"z{i}" for i in range(shape[0])], names, "t")
    assert pixels_of(path).shape[1] <= 1800


def test_heat_map_of_nothing_finite(tmp_path):
    heat_map(tmp_path / "r.png", np.full((2, 2), np.nan), "ab", "cd", "t")


def test_heat_map_needs_a_name_for_each_row_and_column(tmp_path):
    with pytest.raises(ValueError, match="2 row and 1 column names"):
        heat_map(tmp_path / "r.png", np.zeros((2, 3)), "ab", "c", "t")


def test_latent_histograms(tmp_path):
    random = np.random.default_rng(0)
    posterior = random.normal(size=(300, 7))
    posterior[:, 2] = 0.0  # a dead latent
    pixels = pixels_of(latent_histograms(tmp_path / "h.png", random.normal(size=(500, 7)), posterior))
    assert pixels.shape[1] == 1800
    assert count(pixels, BLUE) > 1000
    assert count(pixels, "#c4cbd3") > 10_000
