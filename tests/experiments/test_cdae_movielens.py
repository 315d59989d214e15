"""CDAE as a user runs it: weak generalisation from a file, variants chosen on validation items, and what serves."""

import json
import signal
import subprocess

import pytest

from experiments import cdae_movielens, cli, recommend
from experiments.recommendation.choice import read_curve
from experiments.recommendation.serving import Catalogue
from tests.experiments.commands import run, said_on_failure, start, wait_for
from train.data.simulated_users import simulated_users
from train.run_directory import open_run
from train.steps.cdae import CDAEConfig

TINY = (
    *(
        "--seeds",
        "1",
        "--models",
        "M1",
        "M4-no-user",
        "--model.latent-dim",
        "5",
        "--train.batch-size",
        "16",
        "--epochs",
        "2",
    ),
    *("--train.inner-steps", "2", "--train.checkpoint-every", "5", "--train.log-every", "1"),
    *("--evaluate.ease", "10", "--evaluate.neighbours", "5", "--evaluate.batch-size", "40"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The flags of a small file."""
    path = tmp_path_factory.mktemp("data") / "events.csv"
    events = simulated_users(60, 30, seed=1)
    lines = (f"u{u},i{i},{t:g}\n" for u, i, t in zip(events.user, events.item, events.time, strict=True))
    path.write_text("user,item,time\n" + "".join(lines) + "u0,i999,0\n" + "u0,,0\n")
    return ("--data.source", "csv", "--data.path", str(path), "--data.time-column", "time")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run in this process."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
        cdae_movielens.main([*TINY, *data, "--run-dir", str(folder)])
        yield folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_run_directory_is_complete(trained):
    found = results(trained)
    assert list(found["models"]) == ["popularity", "item-KNN", "EASE", "CDAE M1", "CDAE M4-no-user"]
    assert {"map@10", "precision@5", "recall_of_all@10"} <= set(found["models"]["CDAE M1"])
    assert found["counts"]["left out: no user or no item"] == 1
    assert found["counts"]["left out: events outside the 5-core of users and items"] >= 1
    sizes = found["sizes"]
    assert (
        sizes["training interactions"] + sizes["validation interactions to be found"]
        == (sizes["training interactions of the tested models"])
    )
    page = (trained / "report.html").read_text()
    assert "Nothing was chosen on test items" in page and page.count("data:image/png;base64,") == 3


@pytest.mark.slow
def test_the_tested_model_has_the_updates_that_validation_chose(trained):
    for stage, name in (("m1", "CDAE M1"), ("m4-no-user", "CDAE M4-no-user")):
        curve = read_curve(open_run(trained).in_stage(f"{stage}/choosing"), "map@10")
        assert set(results(trained)["steps"][name]) == {curve.steps[curve.values.mean(0).argmax()]}


@pytest.mark.slow
def test_new_users_have_no_node(trained, tmp_path):
    (tmp_path / "history.csv").write_text("user,item\nu0,i1\nstranger,i1\n")
    out = tmp_path / "out.csv"
    recommend.main(
        [str(trained), "--user-history", str(tmp_path / "history.csv"), "--k", "3", "--out", str(out)]
    )
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert [row[1:] for row in rows[:3]] == [row[1:] for row in rows[3:]]


def test_variants_are_those_of_the_paper():
    model = CDAEConfig()
    table = {name: cdae_movielens.variant(name, model) for name in ("M1", "M2", "M3", "M4", "M3-no-user")}
    assert {name: (one.hidden, one.loss, one.user_node) for name, one in table.items()} == {
        "M1": ("identity", "square", True),
        "M2": ("identity", "ce", True),
        "M3": ("sigmoid", "square", True),
        "M4": ("sigmoid", "ce", True),
        "M3-no-user": ("sigmoid", "square", False),
    }
    assert cdae_movielens.variant("custom", model) is model
    paper, catalogue = cdae_movielens.PAPER, Catalogue(list("abcd"), 3, 4)
    assert len({cdae_movielens.system(paper, catalogue, name).stage for name in paper.models}) == 8


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_results(data, tmp_path):
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    run("cdae_movielens", *TINY, *data, "--run-dir", tmp_path / "whole")
    process = start("cdae_movielens", *TINY, *data, "--run-dir", tmp_path / "cut", **quiet)
    wait_for(tmp_path / "cut" / "m4-no-user" / "choosing" / "checkpoints" / "last" / "5", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("cdae_movielens", "--resume", tmp_path / "cut")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data.item-column", "film"], "--data.item-column"),
        (["--data.min-user-items", "1000"], "--data.min-user-items"),
        (
            ["--data.rating-column", "time", "--data.time-column", "", "--data.min-rating", "1e9"],
            "--data.min-rating",
        ),
        (["--models", "M5"], "--models"),
        (["--models", "M1", "M1"], "--models"),
        (["--model.learning-rate", "0"], "--model.learning-rate"),
        (["--data.source", "movielens"], "has no column 'userId', only user, item, time"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in said_on_failure(cdae_movielens.main, [*TINY, *data, *arguments], monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_of_before_l2_form_keeps_what_it_was_trained_by():
    """Its config.json lacks the setting; the default of new runs is another."""
    content = cli.to_json(cdae_movielens.QUICK)
    assert content["model"].pop("l2_form") == "used-rows"
    old = cli.from_json(cdae_movielens.Config, content)
    assert old.model.l2_form == "all"
    assert cli.from_json(cdae_movielens.Config, cli.to_json(cdae_movielens.QUICK)) == cdae_movielens.QUICK


def test_further_ranks_are_further_columns():
    setting = cdae_movielens.SETTING
    assert setting.at(()) == setting
    wider = setting.at((20, 10, 20))
    assert wider.ks == (5, 10, 20) and wider.criterion == setting.criterion
    assert wider.metrics[len(setting.metrics) :] == ("map@20", "recall_of_all@20", "ndcg@20", "ndcg@10")
