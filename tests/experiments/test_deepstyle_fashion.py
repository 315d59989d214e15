"""The visual recommenders as a user runs them: a tiny run end to end, again from its checkpoint, served, misused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments import cli, deepstyle_fashion, recommend
from experiments.recommendation import fashion_measures, fashion_report
from experiments.recommendation.fashion_measures import AucComparison
from experiments.session import replay
from tests.experiments.commands import run, said_on_failure
from train.data.fashion import read_npz
from train.errors import UserError
from train.run_directory import open_run

TINY = (
    *(
        "--model.factors",
        "6",
        "--model.visual-factors",
        "3",
        "--model.l2",
        "0.001",
        "0.1",
        "--train.steps",
        "90",
    ),
    *("--train.batch-size", "32", "--train.inner-steps", "15", "--train.evaluate-every", "30"),
    *("--train.checkpoint-every", "90", "--train.patience", "0"),
)


def shop(users=40, items=60, seed=0):
    """Users who like one of two halves of the items; the last twenty items are rarely seen."""
    rng = np.random.default_rng(seed)
    half = np.arange(items) % 2
    rarity = np.where(np.arange(items) < items - 20, 1, 0.15)
    rows = []
    for user in range(users):
        weight = rarity * (half == user % 2)
        rows += [(user, item) for item in rng.choice(items, 8, replace=False, p=weight / weight.sum())]
    features = np.concatenate([np.eye(2)[half], rng.random((items, 3))], 1)
    return {"triples": np.asarray(rows), "feat": features, "category": np.arange(items) // 2 % 3}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shop.npz"
    np.savez(path, **shop())
    return path


@pytest.fixture(scope="module")
def trained(file, tmp_path_factory):
    """A run of two seeds: DeepStyle with two penalties."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    flags = ("--data.source", "npz", "--data.path", file, "--seeds", 2, "--run-dir", folder)
    run("deepstyle_fashion", *TINY, *flags, "--model.kinds", "deepstyle", "--model.l2", 0.001, 0.1)
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_run_directory_is_complete(trained):
    found = results(trained)
    stages = {"deepstyle-l2-0.001", "deepstyle-l2-0.1"}
    assert set(found["validation"]) == stages
    assert all(len(values) == 2 for values in found["validation"].values())
    assert found["chosen"] == max(stages, key=lambda stage: np.mean(found["validation"][stage]))
    assert list(found["models"]) == ["popularity", "popularity in the user's categories", "DeepStyle"]
    # The image tells which half an item is of; popularity does not.
    popularity, deepstyle = (found["models"][name]["AUC"]["mean"] for name in ("popularity", "DeepStyle"))
    assert deepstyle > 0.8 > popularity
    assert {path.name for path in (trained / "figures").iterdir()} == {
        *("comparison.png", "popularity.png", "categories.png")
    }
    page = (trained / "report.html").read_text()
    assert "nothing was chosen on test records" in page and "Cold items" in page


@pytest.mark.slow
def test_all_models_of_one_run(file, tmp_path):
    flags = ("--data.source", "npz", "--data.path", file, "--model.l2", 0.01, "--run-dir", tmp_path / "run")
    run("deepstyle_fashion", *TINY, *flags)
    found = results(tmp_path / "run")["models"]
    assert list(found)[2:] == ["BPR-MF", "VBPR", "DeepStyle"]
    for model in ("VBPR", "DeepStyle"):
        assert found[model]["AUC"]["mean"] > 0.8
    assert "DeepStyle - VBPR" in (tmp_path / "run" / "report.html").read_text()


def test_a_run_is_measured_again_and_otherwise(trained):
    directory, before = open_run(trained), results(trained)
    config = cli.from_json(deepstyle_fashion.Config, directory.config)
    half = replace(config, evaluate=replace(config.evaluate, ties="half"))
    replay(deepstyle_fashion.EXPERIMENT, directory, half)
    after = results(trained)
    assert after["models"]["popularity"]["AUC"]["mean"] > before["models"]["popularity"]["AUC"]["mean"]
    # DeepStyle's scores have no ties: the checkpoints give what training left.
    for model in (before, after):
        del model["models"]["popularity"], model["models"]["popularity in the user's categories"]
    assert after == before


def test_serving_users_that_training_never_saw(trained):
    serve = recommend.open_recommender(trained, "best", None)
    assert serve.item_ids == [str(i) for i in range(60)]
    scores = serve.scores([[0, 2, 4], [1, 3], []])
    assert scores.shape == (3, 60) and np.isfinite(scores).all()
    even, odd = scores[0, ::2], scores[0, 1::2]
    assert even.mean() > odd.mean() and scores[1, 1::2].mean() > scores[1, ::2].mean()
    (trained / "results.json").rename(trained / "elsewhere.json")
    try:
        with pytest.raises(UserError, match="finish the run"):
            recommend.open_recommender(trained, "best", None)
    finally:
        (trained / "elsewhere.json").rename(trained / "results.json")


def test_baselines(file):
    data = read_npz(file)
    user = np.arange(3)
    popular, in_category = (np.asarray(score(user)) for score in fashion_measures.baselines(data).values())
    clicks = data.clicks()
    np.testing.assert_allclose(popular, np.tile(clicks, (3, 1)))
    for u in user:
        own = data.categories[data.train[[u]].indices, 0]
        demand = (own[:, None] == data.categories[:, 0]).sum(0)
        np.testing.assert_allclose(in_category[u], (demand + 0.01) * (1 + clicks), rtol=1e-5)


def test_cold_items_and_differences(file):
    """By hand from AUC values that are given."""
    data = read_npz(file)
    rng = np.random.default_rng(0)
    values = {kind: rng.random((2, data.users, 1)).astype(np.float32) for kind in ("vbpr", "deepstyle")}
    settings = {f"{kind}-l2-0": deepstyle_fashion.VisualConfig(kind=kind) for kind in values}
    trained = {stage: fashion_measures.TrainedStage(one, None) for stage, one in settings.items()}
    chosen = {kind: f"{kind}-l2-0" for kind in values}
    validation = {"vbpr-l2-0": np.asarray([0.9, 0.5]), "deepstyle-l2-0": np.asarray([0.8, 0.8])}
    simple = {"popularity": rng.random((1, data.users, 1)).astype(np.float32)}
    measured = AucComparison(trained, validation, chosen, values, simple)
    assert measured.best() == "deepstyle-l2-0"
    protocol = fashion_report.Protocol("strict", 5, "leave-one-out")
    popularity, vbpr, deepstyle = fashion_report.ranked(data, measured, protocol)
    assert (popularity.name, vbpr.name, deepstyle.name) == ("popularity", "VBPR", "DeepStyle")
    cold = data.clicks()[data.test[:, 0]] < 5
    np.testing.assert_array_equal(np.isfinite(vbpr.metrics[fashion_report.COLD_AUC]).all(0), cold)
    np.testing.assert_allclose(deepstyle.metrics[fashion_report.AUC], values["deepstyle"][:, :, 0])
    # Where no item is cold there is no such column.
    (warm, *_) = fashion_report.ranked(data, measured, protocol._replace(cold=0))
    assert list(warm.metrics) == [fashion_report.AUC]
    section = fashion_report.differences([popularity, vbpr, deepstyle], (fashion_report.AUC,))[0]
    (row,) = section.tables[0].rows
    assert row[0] == "DeepStyle - VBPR"
    gap = (values["deepstyle"] - values["vbpr"]).mean()
    np.testing.assert_allclose(row[1].mean, gap, rtol=1e-4)


def test_presets_are_what_they_say():
    for config in deepstyle_fashion.PRESETS.values():
        deepstyle_fashion.check(config)
    paper = deepstyle_fashion.stages(deepstyle_fashion.PAPER)["deepstyle-l2-0.01"]
    assert (paper.optimiser, paper.l2_factors, paper.l2_visual, paper.reduction) == ("sgd", 0.01, 0.01, "sum")
    as_json = cli.to_json(deepstyle_fashion.QUICK)
    assert cli.from_json(deepstyle_fashion.Config, as_json) == deepstyle_fashion.QUICK


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data.source", "npz"], "--data.path"),
        (["--data.held", "file"], "--data.held"),
        (["--data.source", "npz", "--data.path", "nowhere.npz"], "nowhere.npz"),
        (["--model.kinds"], "--model.kinds"),
        (["--model.l2"], "--model.l2"),
        (["--model.l2", "-1"], "--model.l2"),
        (["--model.factors", "10"], "--model.visual-factors"),
        (["--model.learning-rate", "nan"], "--model.learning-rate"),
        (["--train.evaluate-every", "0"], "--train.evaluate-every"),
        (["--evaluate.cold", "0"], "--evaluate.cold"),
        (["--train.steps", "0"], "--train.steps"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in said_on_failure(deepstyle_fashion.main, arguments, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())
