import numpy as np
import pytest
from PIL import Image

from train.report.figures.points import Point, points


def test_panels_of_models(tmp_path):
    panel = {
        "EASE": Point(0.4, 0.01),
        "Mult-VAE": Point(0.39, np.nan, (0.38, 0.4)),
        "one": Point(0.1, 0.0, (0.1,)),
    }
    path = points(tmp_path / "points.png", {"ndcg@100": panel, "recall@20": panel})
    with Image.open(path) as image:
        assert image.size[0] > image.size[1] and np.asarray(image).std() > 0


def test_panels_have_the_same_names(tmp_path):
    with pytest.raises(ValueError, match="different names"):
        points(tmp_path / "a.png", {"a": {"x": Point(0, 0)}, "b": {"y": Point(0, 0)}})
    with pytest.raises(ValueError, match="no panels"):
        points(tmp_path / "a.png", {})
