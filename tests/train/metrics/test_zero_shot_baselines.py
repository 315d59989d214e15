import numpy as np
import pytest

from train.errors import UserError
from train.metrics.zero_shot import per_class_accuracy
from train.metrics.zero_shot_baselines import (
    attribute_scores,
    chance,
    constant,
    ridge_to_attributes,
    supervised_reference,
)

SEEN, UNSEEN = np.arange(6), np.arange(6, 8)
ATTRIBUTES = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)


def linear_benchmark(noise=0.0):
    """Features that are a linear map of the class's attributes: features, labels, and the three splits."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 20).astype(np.int32)
    features = ATTRIBUTES[labels] @ rng.normal(size=(3, 5)) + 2 + noise * rng.normal(size=(160, 5))
    unseen, tests = np.isin(labels, UNSEEN), np.arange(160) % 20 >= 15
    splits = [np.flatnonzero(rows) for rows in (~unseen & ~tests, ~unseen & tests, unseen)]
    return features.astype(np.float32), labels, splits


@pytest.fixture(scope="module")
def snu(shared):
    """Features scaled over the training rows, labels, attributes, and the three splits."""
    with np.load(shared / "data" / "gzsl" / "snu_b36_ex_vggish.npz", allow_pickle=False) as file:
        rows = [file[f"{name}_loc"].astype(np.int32) for name in ("trainval", "test_seen", "test_unseen")]
        features, train = file["features_x7"].astype(np.float32), file["features_x7"][rows[0]]
        features = (features - train.min(axis=0)) / np.maximum(np.ptp(train, axis=0), 1)
        return features, file["labels"].astype(np.int32), file["att_cat"], rows


@pytest.mark.parametrize("rule", ["euclidean", "cosine"])
def test_linear_classes_are_found(rule):
    features, labels, splits = linear_benchmark()
    found = ridge_to_attributes(features, labels, ATTRIBUTES, *splits, alpha=1e-4, rule=rule)
    assert found == (1, 1, 1, 1)


def test_scores_are_distances_to_the_least_squares_solution():
    features, labels, (trainval, *_) = linear_benchmark(noise=0.3)
    scores = attribute_scores(features, labels, ATTRIBUTES, trainval, alpha=2.0)
    x, seen = features.astype(float), ATTRIBUTES[SEEN]
    wanted = (ATTRIBUTES - seen.mean(0)) / seen.std(0)
    x_mean, y_mean = x[trainval].mean(0), wanted[labels[trainval]].mean(0)
    centred = x[trainval] - x_mean
    gram = centred.T @ centred + 2 * np.eye(5)
    weights = np.linalg.solve(gram, centred.T @ (wanted[labels[trainval]] - y_mean))
    found = (x - x_mean) @ weights + y_mean
    distances = ((found[:, None] - wanted) ** 2).sum(-1)
    np.testing.assert_allclose(scores, -distances, atol=1e-4)
    cosine = attribute_scores(features, labels, ATTRIBUTES, trainval, alpha=2.0, rule="cosine")
    assert np.abs(cosine).max() <= 1 + 1e-6


def test_rules_ignore_units_of_attributes():
    """The Euclidean rule does not depend on a column's unit, and a constant column changes nothing."""
    features, labels, (trainval, *_) = linear_benchmark(noise=0.3)
    scores = attribute_scores(features, labels, ATTRIBUTES, trainval)
    moved = ATTRIBUTES * np.array([2, 50, 0.1], np.float32) + 1
    np.testing.assert_allclose(attribute_scores(features, labels, moved, trainval), scores, atol=1e-3)
    constant = np.concatenate([ATTRIBUTES, np.ones((8, 1), np.float32)], axis=1)
    np.testing.assert_allclose(attribute_scores(features, labels, constant, trainval), scores, atol=1e-4)


@pytest.mark.parametrize("rule", ["euclidean", "cosine"])
def test_identical_attributes_of_seen_classes(rule):
    """Nothing to learn: no division by zero."""
    features, labels, (trainval, *_) = linear_benchmark()
    table = np.ones((8, 2), np.float32)
    assert np.isfinite(attribute_scores(features, labels, table, trainval, rule=rule)).all()


def test_ridge_on_the_audio_set(snu):
    """The specification's ZSL .409, S .245, U .085, H .127. Its alpha and rule are not recorded: 1.1 agrees."""
    features, labels, table, splits = snu
    found = ridge_to_attributes(features, labels, table, *splits, alpha=1.1)
    np.testing.assert_allclose(found, (0.245, 0.085, 0.127, 0.409), atol=1e-3)
    default = ridge_to_attributes(features, labels, table, *splits)
    np.testing.assert_allclose(default, (0.246, 0.085, 0.126, 0.406), atol=2e-3)


def test_supervised_reference_on_the_audio_set(snu):
    """The specification's S .743, U .728."""
    features, labels, _, splits = snu
    found = supervised_reference(features, labels, *splits)
    np.testing.assert_allclose(found[:2], (0.743, 0.728), atol=1e-3)
    assert found.zero_shot > found.unseen


def test_supervised_reference_of_separable_classes():
    features, labels, splits = linear_benchmark(noise=0.01)
    assert supervised_reference(features, labels, *splits) == (1, 1, 1, 1)


def test_supervised_reference_never_tests_what_it_trained_on():
    """Labels without any relation to the features: chance, however many features there are."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 200).astype(np.int32)
    features = rng.normal(size=(800, 100)).astype(np.float32)
    row = np.arange(800)
    unseen, tests = labels == 3, row % 200 >= 100
    splits = [np.flatnonzero(rows) for rows in (~unseen & ~tests, ~unseen & tests, unseen)]
    found = supervised_reference(features, labels, *splits)
    assert abs(found.seen - 0.25) < 0.1 and abs(found.unseen - 0.25) < 0.1


def test_an_unseen_class_too_small_for_two_halves():
    features, labels, (trainval, test_seen, test_unseen) = linear_benchmark()
    single = np.append(test_unseen[labels[test_unseen] == 6], test_unseen[-1])
    with pytest.raises(UserError, match="class = 7: has too few test images"):
        supervised_reference(features, labels, trainval, test_seen, single)


def test_what_needs_no_image():
    """Against per-class accuracies of drawn and of constant classes, 0 to 2 seen and 3 to 6 unseen."""
    labels = np.repeat(np.arange(7), 3000).astype(np.int32)
    draw, one = np.random.default_rng(0).integers(0, 7, len(labels)), np.zeros_like(labels)
    drawn = [per_class_accuracy(draw, labels, classes) for classes in (np.arange(3), np.arange(3, 7))]
    np.testing.assert_allclose(drawn, chance(3, 4)[:2], atol=0.02)
    fixed = [per_class_accuracy(one, labels, classes) for classes in (np.arange(3), np.arange(3, 7))]
    np.testing.assert_allclose(fixed, constant(3, 4)[:2], rtol=1e-6)
    assert chance(3, 4).zero_shot == constant(3, 4).zero_shot == 0.25
    assert constant(3, 4).harmonic == 0 and chance(3, 4).harmonic == pytest.approx(1 / 7)
