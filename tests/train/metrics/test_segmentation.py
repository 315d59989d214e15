"""Segmentation scores: golden, brute force, unknown pixels in each of the three ways, and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.segmentation import (
    chance_prediction,
    confusion_matrix,
    constant_prediction,
    segmentation_scores,
)

CLASSES = 4
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, CLASSES + 1, (3, 6, 5))  # class 4 is unknown
PREDICTED = np.where(RNG.random(TRUTH.shape) < 0.6, TRUTH, RNG.integers(0, CLASSES, TRUTH.shape))


def test_golden(shared):
    with np.load(shared / "parity" / "metrics_image_rank.npz") as file:
        golden = {name.removeprefix("seg/"): file[name] for name in file.files if name.startswith("seg/")}
    confusion = confusion_matrix(golden["gt"], golden["pred"], 6)
    np.testing.assert_array_equal(confusion[:-1, :-1], golden["confusion"])
    assert not confusion[-1].any() and not confusion[:, -1].any()
    scores = segmentation_scores(confusion)
    present = golden["confusion"].sum(1) > 0
    assert present.sum() == 5
    for found, name in ((scores.iou, "iou"), (scores.class_accuracy, "per_class_acc")):
        np.testing.assert_allclose(found[present], golden[name][present], rtol=1e-10)
        assert np.isnan(found[~present]).all()
    np.testing.assert_allclose(scores.mean_iou, golden["miou_present"], rtol=1e-10)
    np.testing.assert_allclose(scores.pixel_accuracy, golden["pixel_acc"], rtol=1e-10)
    np.testing.assert_allclose(scores.mean_class_accuracy, golden["mean_class_acc_present"], rtol=1e-10)


def brute_force(truth, predicted, unknown):
    """(mean IoU, frequency-weighted IoU, mean class accuracy, pixel accuracy) from sets of pixels."""
    if unknown == "excluded":
        truth, predicted = truth[truth < CLASSES], predicted[truth < CLASSES]
    classes = [c for c in range(CLASSES + (unknown == "class")) if (truth == c).any()]
    iou, weighted, accuracy = [], 0.0, []
    for c in classes:
        both, either = (truth == c) & (predicted == c), (truth == c) | (predicted == c)
        iou.append(both.sum() / either.sum())
        weighted += iou[-1] * (truth == c).mean()
        accuracy.append(both.sum() / (truth == c).sum())
    right = (truth == predicted) & ((truth < CLASSES) | (unknown == "class"))
    return np.mean(iou), weighted, np.mean(accuracy), right.mean()


@pytest.mark.parametrize("unknown", ["excluded", "errors", "class"])
def test_unknown_pixels_in_each_way(unknown):
    found = segmentation_scores(confusion_matrix(TRUTH, PREDICTED, CLASSES), unknown)
    expected = brute_force(TRUTH, PREDICTED, unknown)
    names = ("mean_iou", "frequency_weighted_iou", "mean_class_accuracy", "pixel_accuracy")
    np.testing.assert_allclose([getattr(found, name) for name in names], expected, rtol=1e-12)
    assert len(found.iou) == len(found.class_accuracy) == CLASSES + (unknown == "class")


def test_unknown_pixels_by_hand():
    """Four pixels, one of them unknown; the three known ones are right."""
    truth, predicted = np.array([0, 0, 1, 255]), np.array([0, 0, 1, 1])
    confusion = confusion_matrix(truth, predicted, 2)
    np.testing.assert_array_equal(confusion, [[2, 0, 0], [0, 1, 0], [0, 1, 0]])
    without, errors, own = (segmentation_scores(confusion, u) for u in ("excluded", "errors", "class"))
    assert (without.pixel_accuracy, errors.pixel_accuracy, own.pixel_accuracy) == (1, 0.75, 0.75)
    np.testing.assert_allclose([without.mean_iou, errors.mean_iou, own.mean_iou], [1, 0.75, 0.5])
    assert (without.mean_class_accuracy, errors.mean_class_accuracy) == (1, 1)
    np.testing.assert_allclose(errors.frequency_weighted_iou, 2 / 4 + 0.5 / 4)


@pytest.mark.parametrize("unknown", ["excluded", "errors", "class"])
def test_a_known_pixel_predicted_unknown_is_an_error(unknown):
    scores = segmentation_scores(confusion_matrix(np.array([0, 1]), np.array([0, 2]), 2), unknown)
    assert scores.pixel_accuracy == scores.mean_iou == 0.5


def test_nothing_known_has_no_score():
    scores = segmentation_scores(confusion_matrix(np.full(3, 9), np.zeros(3, int), 2))
    assert np.isnan([scores.mean_iou, scores.pixel_accuracy, scores.mean_class_accuracy, *scores.iou]).all()


def test_wrong_arrays():
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(TRUTH, PREDICTED[:1], CLASSES)
    with pytest.raises(ValueError, match="must be integers, not float64"):
        confusion_matrix(TRUTH, PREDICTED / 1.0, CLASSES)


@settings(max_examples=20)
@given(st.permutations(range(CLASSES)), st.integers(1, 2))
def test_renamed_classes_and_parts_of_a_set(order, cut):
    renamed = np.array([*order, CLASSES])
    whole = confusion_matrix(TRUTH, PREDICTED, CLASSES)
    parts = [
        confusion_matrix(TRUTH[part], PREDICTED[part], CLASSES) for part in (slice(cut), slice(cut, None))
    ]
    np.testing.assert_array_equal(sum(parts), whole)
    moved = segmentation_scores(confusion_matrix(renamed[TRUTH], renamed[PREDICTED], CLASSES))
    scores = segmentation_scores(whole)
    np.testing.assert_allclose(moved.iou[np.array(order)], scores.iou)
    np.testing.assert_allclose(
        [moved.mean_iou, moved.frequency_weighted_iou], [scores.mean_iou, scores.frequency_weighted_iou]
    )


def test_predictions_that_see_no_image():
    """Against many drawn maps; unknown pixels are not a class to predict."""
    truth = np.repeat([0, 1, 2, 3], [50, 30, 10, 10])
    confusion = confusion_matrix(truth, truth, 3)
    np.testing.assert_array_equal(
        constant_prediction(confusion), confusion_matrix(truth, np.zeros_like(truth), 3)
    )
    draw = np.random.default_rng(0).choice(3, (4000, 100), p=[5 / 9, 3 / 9, 1 / 9])
    mean = sum(confusion_matrix(truth, row, 3) for row in draw) / len(draw)
    np.testing.assert_allclose(chance_prediction(confusion), mean, atol=0.2)
    nothing = np.zeros((4, 4), np.int64)
    assert not constant_prediction(nothing).any() and not chance_prediction(nothing).any()
