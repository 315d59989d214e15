"""What the classifier on latents learns from, and the accuracies that are made of its predictions."""

import numpy as np
import pytest

from experiments.latent_classifier import Setting, make_problem
from train.data.zero_shot import ZeroShotData


def small():
    """Classes 0, 2, 3 seen with four images each, 1 and 4 unseen."""
    labels = np.repeat(np.arange(5, dtype=np.int32), 4)
    rows = np.arange(20, dtype=np.int32)
    seen = ~np.isin(labels, (1, 4))
    return ZeroShotData(
        name="small",
        features=np.zeros((20, 3), np.float32),
        labels=labels,
        attributes={"attributes": np.ones((5, 2), np.float32)},
        class_names=tuple("abcde"),
        trainval=rows[seen & (rows % 4 > 0)],
        test_seen=rows[seen & (rows % 4 == 0)],
        test_unseen=rows[~seen],
    )


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (Setting(True), "GZSL"),
        (Setting(False), "ZSL"),
        (Setting(True, 5), "GFSL 5-shot"),
        (Setting(False, 1), "FSL 1-shot"),
    ],
)
def test_settings_are_called_as_in_the_papers(setting, name):
    assert setting.name == name


def test_gzsl_learns_from_seen_images_and_unseen_attributes():
    problem, classes = make_problem(small(), Setting(True), (4, 2), seed=0)
    np.testing.assert_array_equal(classes, np.arange(5))
    np.testing.assert_array_equal(problem.images, [1, 2, 3, 1, 9, 10, 11, 9, 13, 14, 15, 13])
    np.testing.assert_array_equal(problem.classes, [1, 1, 4, 4])
    np.testing.assert_array_equal(problem.labels, [0] * 4 + [2] * 4 + [3] * 4 + [1, 1, 4, 4])
    np.testing.assert_array_equal(problem.seen, [0, 8, 12])
    np.testing.assert_array_equal(problem.unseen, [4, 5, 6, 7, 16, 17, 18, 19])


def test_zsl_knows_the_unseen_classes_alone():
    problem, classes = make_problem(small(), Setting(False), (4, 3), seed=0)
    np.testing.assert_array_equal(classes, [1, 4])
    assert len(problem.images) == len(problem.seen) == 0
    np.testing.assert_array_equal(problem.labels, [0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("generalised", [True, False])
def test_shots_leave_the_test_rows_and_follow_the_seen_images(generalised):
    problem, classes = make_problem(small(), Setting(generalised, 2), (4, 3), seed=5)
    support = problem.images[-8:]  # four latents of each of two unseen classes
    assert len(np.unique(support)) == 4 and len(problem.images) == 8 + 12 * generalised
    assert set(support) | set(problem.unseen) == set(small().test_unseen)
    assert not set(support) & set(problem.unseen)
    np.testing.assert_array_equal(classes[problem.labels[-14:]], [1] * 4 + [4] * 4 + [1] * 3 + [4] * 3)
    other, _ = make_problem(small(), Setting(generalised, 2), (4, 3), seed=6)
    assert set(other.unseen) != set(problem.unseen)
