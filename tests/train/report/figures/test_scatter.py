"""Points by class in panels on common axes."""

import numpy as np
from PIL import Image

from train.report.figures import class_scatter


def test_both_panels_show_their_points(tmp_path):
    random = np.random.default_rng(0)
    groups = [
        (random.normal(size=(200, 2)), random.integers(0, 5, 200), "o"),
        (random.normal(size=(5, 2)), np.arange(5), "D"),
    ]
    path = class_scatter(tmp_path / "s.png", {"seen": groups, "unseen": groups[:1]}, ("first", "second"))
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    coloured = pixels.max(-1) - pixels.min(-1) > 60
    half = pixels.shape[1] // 2
    assert coloured[:, :half].sum() > 2000 and coloured[:, half:].sum() > 1000


def test_neighbouring_classes_differ_in_colour(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.scatter", lambda self, *xy, c, **_: drawn.append(c))
    class_scatter(tmp_path / "s.png", {"a": [(np.zeros((9, 2)), np.arange(9), "o")]}, ("x", "y"))
    (colours,) = drawn
    gaps = np.abs(colours[:, None, :3] - colours[None, :, :3]).sum(-1)[~np.eye(9, dtype=bool)]
    assert gaps.min() > 0.15
