"""Recommenders of users x items as a user runs them: end to end, again, killed, misused; and what serves."""

import csv
import json
import shutil
import signal
import subprocess

import numpy as np
import pytest

from experiments import cli, evaluate, mi_gaussian, multvae_movielens, recommend
from experiments.recommendation.measures import BUCKETS, bucket_metric
from tests.experiments.commands import run, said_on_failure, start, wait_for
from train.errors import UserError
from train.run_directory import create_run, write_json
from train.steps.mult_vae import MultVAEConfig

TINY = (
    *("--data.users", "90", "--data.items", "40", "--data.held-out-users", "12"),
    *("--model.hidden", "10", "--model.latent-dim", "6", "--dae.latent-dim", "6", "--train.batch-size", "16"),
    *("--epochs", "3", "--train.inner-steps", "2", "--train.checkpoint-every", "5", "--train.log-every", "1"),
    *("--evaluate.ease", "10", "100", "--evaluate.neighbours", "5", "20", "--evaluate.batch-size", "8"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two seeds, in this process."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
        multvae_movielens.main([*TINY, "--seeds", "2", "--run-dir", str(folder)])
        yield folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_run_directory_is_complete(trained):
    found = results(trained)
    assert found["seeds"] == [0, 1] and found["data"] == "simulated-users"
    assert list(found["models"]) == ["popularity", "item-KNN", "EASE", "Mult-VAE", "Mult-DAE"]
    for name in ("Mult-VAE", "Mult-DAE"):
        model = found["models"][name]
        assert {"ndcg@100", "recall@20", "recall@50", *map(bucket_metric, BUCKETS)} <= set(model)
        assert len(model["ndcg@100"]["seeds"]) == 2
        np.testing.assert_allclose(np.mean(model["ndcg@100"]["seeds"]), model["ndcg@100"]["mean"], rtol=1e-6)
    assert found["sizes"]["test users"] == 12 and found["counts"]["events read"] > 0
    assert {path.stem for path in (trained / "figures").iterdir()} == {
        "comparison",
        "popularity",
        "validation",
    }
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and "nothing was chosen on test users" in page
    assert "left out: users with fewer than 5 items" in page


def test_validation_is_that_of_the_best_state(trained):
    for stage, name in (("vae", "Mult-VAE"), ("dae", "Mult-DAE")):
        lines = [json.loads(line) for line in (trained / stage / "metrics.jsonl").read_text().splitlines()]
        curve = np.array([line["validation/ndcg@100"] for line in lines if "validation/ndcg@100" in line])
        assert len(curve) == 3  # one per epoch
        np.testing.assert_allclose(results(trained)["validation"][name], curve.max(0), rtol=1e-6)


def test_evaluate_measures_again(trained, tmp_path):
    before = results(trained)
    evaluate.main([str(trained), "--neighbours", "7"])
    after = results(trained)
    assert after["models"]["item-KNN"]["note"].startswith("k 7;")
    means = [found["models"]["Mult-VAE"]["ndcg@100"]["seeds"] for found in (before, after)]
    np.testing.assert_allclose(means[1], means[0], rtol=1e-6)
    # Also where there are other devices than it was trained on.
    elsewhere = shutil.copytree(trained, tmp_path / "elsewhere")
    saved = json.loads((elsewhere / "config.json").read_text())
    saved["config"]["mesh"] = "data=64,items=2"
    write_json(elsewhere / "config.json", saved)
    evaluate.main([str(elsewhere), "--ease", "--neighbours"])
    assert list(results(elsewhere)["models"]) == ["popularity", "Mult-VAE", "Mult-DAE"]
    assert results(elsewhere)["models"]["Mult-VAE"] == after["models"]["Mult-VAE"]


def served(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_items_for_new_users(trained, tmp_path, capsys):
    history = tmp_path / "history.csv"
    history.write_text("user,item,time\nann,3,9\nann,5,1\nbob,7,2\nbob,nowhere,3\ncarl,nothing,1\n")
    recommend.main(
        [str(trained), "--user-history", str(history), "--k", "4", "--out", str(tmp_path / "out.csv")]
    )
    said = capsys.readouterr().err
    assert "2 events left out" in said and "1 users left out" in said and "(carl)" in said
    rows = served(tmp_path / "out.csv")
    assert [row["user"] for row in rows] == ["ann"] * 4 + ["bob"] * 4
    assert [row["rank"] for row in rows[:4]] == ["1", "2", "3", "4"]
    scores = [float(row["score"]) for row in rows[:4]]
    assert scores == sorted(scores, reverse=True)
    assert not {"3", "5"} & {row["item"] for row in rows[:4]} and "7" not in {row["item"] for row in rows[4:]}
    # Everything but the history, and no more.
    recommend.main(
        [str(trained), "--user-history", str(history), "--k", "999", "--out", str(tmp_path / "all.csv")]
    )
    items = len(json.loads((trained / "catalogue.json").read_text())["items"])
    assert len(served(tmp_path / "all.csv")) == 2 * items - 3
    recommend.main([str(trained), "--user-history", str(history), "--k", "4", "--seed", "1"])
    assert capsys.readouterr().out.splitlines()[1].startswith("ann,1,")


@pytest.mark.parametrize(
    ("flags", "content", "expected"),
    [
        ((), "user,film\na,1\n", "has no column 'item'"),
        ((), "user,item\na,nowhere\n", "no user with an item that training saw"),
        (("--k", "0"), "user,item\na,1\n", "--k"),
        (("--seed", "7"), "user,item\na,1\n", "--seed"),
        (("--out", "no/where.csv"), "user,item\na,1\n", "--out"),
    ],
)
def test_bad_histories_are_one_clear_error(flags, content, expected, trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "history.csv").write_text(content)
    arguments = [trained, "--user-history", tmp_path / "history.csv", *flags]
    assert expected in said_on_failure(recommend.main, arguments, monkeypatch, capsys)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_results(tmp_path):
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    run("multvae_movielens", *TINY, "--run-dir", tmp_path / "whole")
    process = start("multvae_movielens", *TINY, "--run-dir", tmp_path / "cut", **quiet)
    wait_for(tmp_path / "cut" / "dae" / "checkpoints" / "last" / "5", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("multvae_movielens", "--resume", tmp_path / "cut")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.slow
def test_items_divided_over_devices_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    shapes, seen = ("data=8", "data=2,items=4", "items=8"), []
    for number, mesh in enumerate(shapes):
        folder = tmp_path / str(number)
        multvae_movielens.main(
            [
                *TINY,
                "--models",
                "vae",
                "--data.items",
                "41",
                "--mesh",
                mesh,
                "--run-dir",
                str(folder),
                "--seeds",
                "1",
            ]
        )
        lines = [json.loads(line) for line in (folder / "vae" / "metrics.jsonl").read_text().splitlines()]
        losses = [line[name] for line in lines for name in ("loss", "validation/ndcg@100") if name in line]
        seen.append([*np.ravel(losses), results(folder)["models"]["Mult-VAE"]["ndcg@100"]["mean"]])
    for divided in seen[1:]:
        np.testing.assert_allclose(divided, seen[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "paper"], "--data.path"),
        (["--data.source", "csv", "--data.path", "nowhere.csv"], "nowhere.csv"),
        (["--data.path", "nowhere.csv"], "--data.path"),
        (["--data.held-out-users", "45"], "--data.held-out-users"),
        (["--data.min-user-items", "1"], "--data.min-user-items"),
        (["--models"], "--models"),
        (["--model.kind", "dae"], "--model.kind"),
        (["--model.keep", "0"], "--model.keep"),
        (["--epochs", "0"], "--epochs"),
        (["--mesh", "items=3"], "--mesh"),
        (["--evaluate.ease", "0"], "--evaluate.ease"),
        (["--evaluate.neighbours", "0"], "--evaluate.neighbours"),
        (["--train.batch-size", "1"], "--train.batch-size"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--preset" in arguments else [*TINY, *arguments]
    assert expected in said_on_failure(multvae_movielens.main, given, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_published_settings_are_those_of_the_paper():
    paper = multvae_movielens.PRESETS["paper"]
    assert paper.model == MultVAEConfig() and paper.model.anneal_steps == 200_000 and paper.model.beta == 0.2
    assert paper.dae == MultVAEConfig(kind="dae", hidden=(), l2=0.01 / 500)
    assert paper.train.batch_size == 500 and paper.epochs == 200 and paper.data.held_out_users == 10_000
    assert paper.data.min_rating == 4 and paper.data.min_user_items == 5
    assert paper.model.architecture == "I-600-200-600-I"
    assert paper.dae.architecture == "I-200-I"


def test_a_run_of_something_else_recommends_nothing(tmp_path, monkeypatch):
    create_run("mi_gaussian", cli.to_json(mi_gaussian.PRESETS["quick"]), tmp_path / "run")
    with pytest.raises(UserError, match="recommends nothing"):
        recommend.open_recommender(tmp_path / "run", "best", None)
