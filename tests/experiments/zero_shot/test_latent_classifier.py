"""What the classifier on latents learns from, and the accuracies that are made of its predictions."""

import functools
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments.zero_shot import latent_classifier
from experiments.zero_shot.latent_classifier import (
    LatentModel,
    Setting,
    make_problem,
    run_classifiers,
)
from train.data.zero_shot import ZeroShotData
from train.metrics.zero_shot import harmonic_mean
from train.seeds import seed_keys
from train.steps.cada_vae import CADAVAEConfig, init_state
from train.steps.cada_vae_classifier import ClassifierConfig, predict


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


SIZES = {"image": 3, "attributes": 2, "sentences": 2}
CONFIG = CADAVAEConfig(latent_dim=4, image_hidden=(6, 5), side_hidden=(5, 4))


def two_kinds():
    random = np.random.default_rng(0)
    tables = {name: random.normal(size=(5, 2)).astype(np.float32) for name in ("attributes", "sentences")}
    return replace(small(), features=random.random((20, 3), np.float32), attributes=tables)


@functools.cache
def models(seed, seeds):
    keys = seed_keys(seed, seeds)
    states = jax.jit(jax.vmap(lambda key: init_state(key, CONFIG, SIZES)))(keys)
    # Small variances, so that samples lie near their means.
    params = jax.tree_util.tree_map_with_path(
        lambda path, a: a - 8 if "logvar" in str(path) and "bias" in str(path) else a, states.params
    )
    return LatentModel(CONFIG, params, states.key)


def test_latents_are_samples_of_what_they_are_labelled_with(monkeypatch):
    data, setting, vae = two_kinds(), Setting(True), models(0, 1)
    runs = []
    monkeypatch.setattr(latent_classifier, "_one_pass", spy(runs))
    run_classifiers(vae, data, setting, (3, 4), 1, ClassifierConfig(batch_size=4), 0)
    ((run, _),) = runs
    problem, _ = make_problem(data, setting, (3, 4), 0)
    means = {name: vae.means(name, table)[0] for name, table in data.attributes.items()}
    images = vae.means("image", data.features)[0]
    # Two kinds of attributes take turns.
    sides = [means[name][k] for k, name in zip(problem.classes, ["attributes", "sentences"] * 4, strict=True)]
    expected = np.concatenate([images[problem.images], np.stack(sides)])
    np.testing.assert_allclose(run.z, expected, atol=0.02)
    np.testing.assert_allclose(run.seen, images[problem.seen], atol=1e-6)
    np.testing.assert_allclose(run.unseen, images[problem.unseen], atol=1e-6)


@pytest.mark.parametrize("generalised", [True, False])
def test_batches_wrap_around_for_unseen_classes_alone(generalised, monkeypatch):
    runs = []
    monkeypatch.setattr(latent_classifier, "_one_pass", spy(runs))
    run_classifiers(
        models(0, 1), two_kinds(), Setting(generalised), (3, 4), 1, ClassifierConfig(batch_size=4), 0
    )
    assert [wrap for _, wrap in runs] == [not generalised]


def spy(runs):
    """In place of a pass: keeps what it was given, and learns nothing."""

    def one_pass(run, config, wrap):
        jax.debug.callback(lambda run: runs.append((run, wrap)), run)
        return run, (predict(run.state, run.seen), predict(run.state, run.unseen))

    return one_pass


@pytest.mark.parametrize(
    "setting",
    [
        Setting(True),
        *(pytest.param(s, marks=pytest.mark.slow) for s in (Setting(True, 1), Setting(False, 2))),
    ],
)
def test_a_seed_of_many_is_the_single_run(setting):
    def curves(seed, seeds):
        config = ClassifierConfig(batch_size=4, learning_rate=0.1)
        return run_classifiers(models(seed, seeds), two_kinds(), setting, (3, 4), 3, config, seed)

    both, one = curves(3, 2), curves(4, 1)
    np.testing.assert_allclose(both.unseen[1], one.unseen[0], atol=1e-6)
    np.testing.assert_allclose(both.score[1], one.score[0], atol=1e-6)


def test_the_score_is_the_harmonic_mean_and_the_confusion_of_the_shown_pass():
    config = ClassifierConfig(batch_size=4, learning_rate=0.1)
    out = run_classifiers(models(0, 2), two_kinds(), Setting(True), (3, 4), 4, config, 0, shown=3)
    np.testing.assert_allclose(out.score, harmonic_mean(out.seen, out.unseen), atol=1e-6)
    diagonal = np.diagonal(out.confusion)
    np.testing.assert_allclose(diagonal[[0, 2, 3]].mean(), out.seen[:, 2].mean(), atol=1e-6)
    np.testing.assert_allclose(diagonal[[1, 4]].mean(), out.unseen[:, 2].mean(), atol=1e-6)
