"""What results.json holds of measures that are known, and distances of features that are known."""

import numpy as np
import pytest

from experiments.synthesis import measures
from experiments.synthesis.measures import EvaluateConfig, FeatureScores, SynthesisScores
from experiments.synthesis.report import results
from train.data.layout_parts import LayoutData, world_data
from train.data.layout_world import LayoutWorld
from train.layout import Layout
from train.metrics.feature_distances import Coverage, KernelDistance

REAL = np.array([[8, 0, 0], [0, 6, 2], [2, 2, 0]])
"""Two classes, and the unknown pixels as the last row; two known ones are taken for unknown."""
FAKE = np.array([[4, 4, 0], [0, 8, 0], [4, 0, 0]])


@pytest.fixture(scope="module")
def data() -> LayoutData:
    return world_data(LayoutWorld(32))


def measured(dont_care: bool, **more: object) -> SynthesisScores:
    features = FeatureScores(1.5, KernelDistance(0.25, 0.0), Coverage(0.5, 0.6, 0.7, 0.8))
    fields = {"features": [features], "real_features": features, "style": [], "diversity": [], "spread": []}
    layout = Layout(2, dont_care, False, 32, 32)
    return SynthesisScores(layout, 5, REAL, [FAKE], **(fields | more))  # type: ignore[arg-type]


def test_unknown_pixels_each_way(data):
    found = results(measured(True), EvaluateConfig(), 7, data)
    assert found["step"] == 7 and found["images"] == 5
    assert found["real"]["mIoU"] == pytest.approx((1 + 6 / 8) / 2)
    assert found["generated"]["mIoU"] == [pytest.approx((4 / 8 + 8 / 12) / 2)]
    every = found["unknown"]
    assert set(every) == {"excluded", "errors", "class"}
    assert every["excluded"] == {key: found[key] for key in ("real", "generated")}
    assert every["errors"]["real"]["mIoU"] == pytest.approx((8 / 10 + 6 / 10) / 2)
    assert every["class"]["real"]["mIoU"] == pytest.approx((8 / 10 + 6 / 10 + 0) / 3)
    assert "unknown" not in results(measured(False), EvaluateConfig(), 7, data)


def test_distances_of_features(data):
    found = results(measured(True), EvaluateConfig(), 7, data)
    assert found["frechet"] == [1.5] and found["kernel"] == [0.25]
    assert found["coverage"] == [{"precision": 0.5, "recall": 0.6, "density": 0.7, "coverage": 0.8}]
    assert found["real_halves"]["frechet"] == 1.5 and found["real_halves"]["coverage"]["recall"] == 0.6
    without = results(measured(True, features=[], real_features=None), EvaluateConfig(), 7, data)
    assert not {"frechet", "real_halves"} & set(without)


def test_images_in_place_of_features(monkeypatch, tmp_path):
    """Mean colours as features: equal sets have no distance, a shift by d has |d|^2."""
    colours = lambda images: images.astype(np.float64).mean((1, 2)) / 255  # noqa: E731
    monkeypatch.setattr(measures, "open_features", lambda network, path: colours)
    real = np.random.default_rng(0).integers(0, 200, (60, 2, 2, 3)).astype(np.uint8)
    config = EvaluateConfig(feature_weights=tmp_path / "weights.npz", batch_size=7)
    (same, shifted), halves = measures._features(real, [real, real + np.uint8(51)], config)
    assert same.frechet == pytest.approx(0, abs=1e-6) and same.coverage.precision == 1
    assert shifted.frechet == pytest.approx(3 * 0.2**2, rel=1e-4)
    assert shifted.kernel.mean > same.kernel.mean and shifted.kernel.deviation == 0
    assert halves is not None and halves.frechet > 0


LEARNED = np.array([[88, 2, 0], [2, 8, 0], [0, 0, 0]])


def test_results_hold_both_that_see_no_image(data):
    found = results(measured(False)._replace(real=LEARNED), EvaluateConfig(), 7, data)
    assert found["constant"]["pixel accuracy"] == 0.9 and found["chance"]["mIoU"] < found["real"]["mIoU"]
