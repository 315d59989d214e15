"""What the space of styles is measured and drawn by."""

import numpy as np
import pytest

from experiments.recommendation.fashion_style import Style, agreements, neighbours, style_section
from train.data.fashion import FashionData
from train.data.fashion_world import hue_circles
from train.data.interactions import from_pairs


@pytest.fixture(scope="module")
def data():
    """Forty items whose features tell hues and categories apart; nobody has any."""
    rng = np.random.default_rng(0)
    scene = np.stack([rng.integers(0, n, 40) for n in (10, 10, 10, 8, 4, 15)], 1)
    features = np.concatenate([hue_circles(scene), 5 * np.eye(4)[scene[:, 4]]], 1).astype(np.float32)
    nobody = from_pairs(np.zeros(0, int), np.zeros(0, int), (1, 40))[0]
    none = np.full((1, 1), 40, np.int32)
    names = ("cube", "cylinder", "sphere", "capsule")
    return FashionData("some", features, scene[:, 4:5].astype(np.int32), names, nobody, none, none, scene)


def test_neighbours():
    """By the angle about the mean, the item itself left out."""
    angles = np.asarray([0.0, 0.1, 0.25, np.pi, np.pi + 0.1, np.pi + 0.25])
    lengths = np.asarray([1, 3, 2, 1, 3, 2])
    points = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    np.testing.assert_array_equal(neighbours(points + 7, 2)[:2], [[1, 2], [0, 2]])


def test_agreements(data):
    style = Style(data.features, data.features, data.features[:, [2, 5]])
    found = agreements(data, style)
    assert found["features"]["category"] > 0.75 > 0.5 > found["style"]["category"]
    assert found["style"]["object hue"] > found["features"]["object hue"]
    shares = np.bincount(data.categories[:, 0]) / 40
    np.testing.assert_allclose(found["chance"]["category"], (shares**2).sum())
    assert found["projection"] == found["features"]


def test_styles_of_one_factor_have_no_plane(data, tmp_path):
    one = data.features[:, 3:4]
    style_section(tmp_path, data, Style(data.features, one, one))
    assert {path.name for path in tmp_path.iterdir()} == {"neighbours.png", "hues.png"}


def test_pictures(data, tmp_path):
    section = style_section(tmp_path, data, Style(data.features, data.features[:, 3:6], data.features[:, :3]))
    assert {path.name for path in tmp_path.iterdir()} == {"neighbours.png", "categories.png", "hues.png"}
    assert len(section.pictures) == 3 and [row[0] for row in section.tables[0].rows][-1] == "chance"
