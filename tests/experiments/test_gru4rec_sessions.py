"""The session experiment as a user runs it: a tiny run end to end, again from its checkpoint, killed, and misused."""

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, evaluate, gru4rec_sessions, recommend
from experiments.recommendation.session_data import (
    DataConfig,
    check_data,
    evidence,
    number_stage,
    open_log,
    validation_part,
)
from experiments.recommendation.session_training import chooses, settings
from experiments.session import replay
from tests.experiments.commands import run, said_on_failure, start, wait_for
from tests.train.data.session_logs import random_log
from train.data.sessions import DAY
from train.errors import UserError
from train.run_directory import open_run
from train.steps.gru4rec import GRU4RecConfig, RankingConfig

TINY = (
    *("--model.layers", "6", "--losses", "xe", "--xe.samples", "8", "--xe.epochs", "2"),
    *("--train.batch-size", "8", "--train.inner-steps", "4", "--train.log-every", "1"),
    *("--train.checkpoint-every", "5", "--evaluate.batch-size", "16", "--data.min-item", "1"),
)


def write_log(path: Path, days=4, sessions=80) -> Path:
    """Sessions spread over days, as text with named columns."""
    log = random_log(sessions=sessions)
    time = log.time * days * DAY / (100 * sessions)
    rows = [f"s{s}\titem {i}\t{t:.1f}" for s, i, t in zip(log.session, log.item, time, strict=True)]
    path.write_text("\n".join(["SessionId\tItemId\tTime", *rows]))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The flags of a small file."""
    path = write_log(tmp_path_factory.mktemp("data") / "clicks.tsv")
    return ("--data.source", "csv", "--data.path", path)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run("gru4rec_sessions", *TINY, *data, "--seeds", 2, "--run-dir", folder)
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_run_directory_is_complete(trained):
    found = results(trained)
    names = ["GRU4Rec, cross-entropy", "popularity", "S-POP", "item-KNN", "first-order Markov"]
    assert list(found["models"]) == names and found["ties"] == "conservative"
    model = found["models"][names[0]]
    assert len(model["recall@20"]["seeds"]) == 2 and model["mrr@5"]["cases"] > 50
    for n in (5, 10, 20):
        assert model[f"mrr@{n}"]["mean"] <= model[f"recall@{n}"]["mean"] <= 1
    assert 1 <= found["epochs"]["xe"] <= 2
    assert {path.stem for path in (trained / "figures").iterdir()} == {
        *("comparison", "positions", "losses", "validation")
    }
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4 and "nothing was chosen on test sessions" in page
    assert "events read" in page and "first-order Markov" in page
    assert len(json.loads((trained / "catalogue.json").read_text())["items"]) == 12


def test_evaluate_measures_again_and_otherwise(trained):
    before = results(trained)["models"]
    evaluate.main([str(trained), "--at", "3", "20", "--ties", "standard"])
    after = results(trained)["models"]
    for name, model in after.items():
        assert "recall@3" in model and "recall@5" not in model
        assert model["recall@20"]["mean"] >= before[name]["recall@20"]["mean"]


def test_how_the_run_was_trained_stays(trained, monkeypatch, capsys):
    before = results(trained)
    assert "chosen on validation" in (trained / "report.html").read_text()
    said = said_on_failure(evaluate.main, [str(trained), "--stopping", "fixed"], monkeypatch, capsys)
    assert "--stopping" in said and "'validation'" in said and results(trained) == before


def test_epochs_are_those_that_were_trained(trained):
    """Whatever the settings ask for; and a given number of updates leaves validation nothing to choose."""
    before, config = results(trained), cli.from_json(gru4rec_sessions.Config, open_run(trained).config)
    longer = replace(config, xe=replace(config.xe, epochs=9))
    replay(gru4rec_sessions.EXPERIMENT, open_run(trained), longer)
    assert results(trained)["epochs"]["xe"] == before["epochs"]["xe"] <= 2
    short = replace(config.train, steps=5)
    assert chooses(config.evaluate, config.train) and not chooses(config.evaluate, short)
    assert settings(short, 9, 20, False).steps == 5


def test_recommender_scores_a_session_by_all_of_it(trained):
    recommender = recommend.open_recommender(trained, "last", seed=1)
    assert set(recommender.item_ids) == {f"item {i}" for i in range(12)}
    scores = recommender.scores([[3], [5, 3], [5, 3, 1, 4]])
    assert scores.shape == (3, 12) and np.isfinite(scores).all()
    assert not np.allclose(scores[0], scores[1])
    np.testing.assert_allclose(recommender.scores([[5, 3]])[0], scores[1], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_results(data, tmp_path):
    trained = tmp_path / "whole"
    run("gru4rec_sessions", *TINY, *data, "--seeds", 2, "--run-dir", trained)
    cut = tmp_path / "cut"
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start("gru4rec_sessions", *TINY, *data, "--seeds", 2, "--run-dir", cut, **quiet)
    wait_for(cut / "xe" / "choosing" / "checkpoints" / "last" / "5", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("gru4rec_sessions", "--resume", cut)
    assert results(cut) == results(trained)
    for part in ("choosing", "final"):
        name = Path("xe") / part / "metrics.jsonl"
        assert (cut / name).read_text() == (trained / name).read_text()


@pytest.mark.slow
def test_every_loss_and_a_prepared_test_part(tmp_path):
    train, test = write_log(tmp_path / "train.tsv"), write_log(tmp_path / "test.tsv", sessions=20)
    flags = ("--data.source", "csv", "--data.path", train, "--data.test", test)
    losses = ("--losses", "xe", "bpr-max", "top1-max", "bpr", "top1", "--evaluate.stopping", "fixed")
    short = ("--train.steps", 6, "--model.cell", "torch", "--model.embedding", "none")
    run("gru4rec_sessions", *TINY, *flags, *losses, *short, "--run-dir", tmp_path / "run")
    found = results(tmp_path / "run")
    assert len(found["models"]) == 5 + 4
    assert not (tmp_path / "run" / "xe" / "choosing").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--losses"], "--losses"),
        (["--losses", "xe", "xe"], "--losses"),
        (["--xe.loss", "bpr"], "--xe.loss"),
        (["--bpr-max.activation", "elu"], "--bpr-max.activation"),
        (["--xe.dropout-hidden", "1"], "--xe.dropout-hidden"),
        (["--model.layers", "0"], "--model.layers"),
        (["--train.evaluate-every", "5"], "--train.evaluate-every"),
        (["--train.patience", "3"], "--train.patience"),
        (["--train.batch-size", "1"], "--train.batch-size"),
        (["--evaluate.at", "0"], "--evaluate.at"),
        (["--data.source", "csv"], "--data.source = csv: reads a file; name it by --data.path"),
        (
            ["--data.layout", "yoochoose"],
            "--data.layout = yoochoose: is for --data.source csv, not simulated",
        ),
        (["--data.source", "csv", "--data.path", "nowhere.csv"], "nowhere.csv"),
        (["--data.path", "x.csv"], "--data.path"),
        (["--data.test", "test"], "--data.test"),
        (["--data.min-session", "1"], "--data.min-session"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--data.sessions", "60", "--data.items", "20"]
    assert expected in said_on_failure(gru4rec_sessions.main, [*small, *arguments], monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_bad_files_are_named(tmp_path, monkeypatch, capsys):
    log = write_log(tmp_path / "clicks.tsv")
    flags = ["--data.source", "csv", "--data.path", str(log)]
    for more, word in (
        (["--data.item-column", "product"], "product"),
        (["--data.session-column", "visit"], "--data.session-column"),
        (["--data.min-item", "1000"], "filters"),
    ):
        assert word in said_on_failure(gru4rec_sessions.main, [*flags, *more], monkeypatch, capsys)
    one_day = write_log(tmp_path / "short.tsv", days=1)
    flags = ["--data.source", "csv", "--data.path", str(one_day), "--data.min-item", "1"]
    assert "no more than the test part" in said_on_failure(gru4rec_sessions.main, flags, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        ("yoochoose", "{session},2014-04-0{day}T10:0{k}:09.277Z,2145{item},S"),
        ("diginetica", "{session};NA;2145{item};{k}00000;2014-04-0{day}"),
    ],
)
def test_published_logs_are_split_as_they_come(layout, line, tmp_path):
    """Five days of sessions of three events, a little later each day; the test is the last, or a file."""
    header = {"diginetica": "session_id;user_id;item_id;timeframe;eventdate"}.get(layout)

    def write(name, days):
        rows = [
            line.format(session=10 * day + s, day=day, k=k + day, item=30 + (s + k) % 4)
            for day in days
            for s in range(6)
            for k in range(3)
        ]
        (tmp_path / name).write_text("\n".join([header, *rows] if header else rows))
        return tmp_path / name

    path = write("log.dat", range(1, 6))
    config = gru4rec_sessions.DataConfig(source="csv", layout=layout, path=path)
    whole = open_log(config)
    assert (len(whole.train.time), len(whole.test.time)) == (4 * 18, 18)
    parts = replace(config, path=write("train.dat", range(1, 5)), test=str(write("test.dat", [5])))
    log = open_log(parts)
    np.testing.assert_array_equal(log.train.time, whole.train.time)
    np.testing.assert_array_equal(log.test.item, whole.test.item)
    missing = replace(parts, test=str(tmp_path / "none.dat"))
    with pytest.raises(UserError, match=r"^--data.test = .*none\.dat: no such file"):
        open_log(missing)


def test_published_settings_are_those_of_rsc15():
    paper = gru4rec_sessions.PRESETS["paper"]
    assert (
        paper.model == GRU4RecConfig() and paper.model.layers == (100,) and paper.model.embedding == "shared"
    )
    assert paper.train.batch_size == 32 and paper.train.steps == 0 and paper.evaluate.stopping == "fixed"
    assert paper.xe == RankingConfig(
        loss="cross-entropy",
        log_q=1.0,
        samples=2048,
        sample_alpha=0.75,
        dropout_embed=0.1,
        dropout_hidden=0.0,
        learning_rate=0.1,
        momentum=0.0,
        epochs=10,
    )
    assert paper.bpr_max == RankingConfig(
        loss="bpr-max",
        activation="elu-0.5",
        score_regularisation=0.5,
        log_q=0.0,
        samples=2048,
        sample_alpha=0.0,
        dropout_embed=0.0,
        learning_rate=0.2,
        momentum=0.1,
        epochs=10,
    )


def test_test_and_validation_last_as_long_as_asked(data):
    """Longer parts hold more sessions; validation lasts as long as the test unless told otherwise."""
    config = gru4rec_sessions.DataConfig(source="csv", path=data[-1], min_item=1)

    def sizes(**changes):
        changed = replace(config, **changes)
        log = open_log(changed)
        return len(number_stage(log.train, log.test).test), evidence(validation_part(log, changed)).cases

    one, longer, chosen = sizes(), sizes(test_days=1.5), sizes(validation_days=1.5)
    assert longer[0] > one[0] == chosen[0] and chosen[1] > one[1]
    assert longer == sizes(test_days=1.5, validation_days=1.5)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--data.test-days", "0"), "--data.test-days = 0"),
        (("--data.test-days", "nan"), "--data.test-days = nan"),
        (("--data.test-days", "30"), "fewer --data.test-days"),
        (("--data.validation-days", "-1"), "--data.validation-days = -1"),
        (
            ("--data.validation-days", "30"),
            "--data.validation-days = 30: the last days of the training part leave",
        ),
        (("--data.test", "other.tsv", "--data.test-days", "7"), "the test part was made before"),
    ],
)
def test_days_that_leave_nothing(flags, expected, data, tmp_path):
    with pytest.raises(UserError, match=expected):
        gru4rec_sessions.main([*TINY, *map(str, data), *flags, "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings", [{"source": "csv", "test": "./a.csv"}, {"source": "npz", "test": "train_full"}]
)
def test_the_training_part_is_no_test_part(settings):
    with pytest.raises(UserError, match=r"^--data.test = .*: is the training part itself"):
        check_data(DataConfig(path=Path("a.csv"), **settings))


def test_departures_are_of_losses_that_are_trained():
    config = replace(gru4rec_sessions.QUICK, losses=("bpr-max",))
    assert gru4rec_sessions.unused(config) == ["xe", "top1_max", "bpr", "top1"]
    assert "bpr_max" in cli.settings_of(config, ["xe"]) and "xe" not in cli.settings_of(config, ["xe"])
