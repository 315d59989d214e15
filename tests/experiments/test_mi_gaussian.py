"""The toy studies of mutual information as a user runs them: a tiny run end to end, killed, resumed, and misused."""

import json
import signal
import subprocess

import numpy as np
import pytest

from experiments import cli, mi_gaussian
from experiments.information import gaussian_measures as measures
from experiments.information import gaussian_report as page
from experiments.session import replay
from tests.experiments.commands import run, said_on_failure, start, wait_for
from train.data.correlated_pairs import analytic_club
from train.errors import UserError
from train.run_directory import open_run

TINY = (
    *("--train.steps", 20, "--poole-steps", 10, "--train.batch-size", 8, "--train.inner-steps", 5),
    *("--train.checkpoint-every", 10, "--data.levels", 1, 2, "--data.dim", 2, "--evaluate.window", 4),
    *("--poole.hidden", 6, 6, "--poole.embedding", 3, "--club.wide-hidden-size", 32),
    *("--estimators", "club/CLUB", "club/CLUB, wide q", "poole/InfoNCE", "poole/TNCE"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two seeds."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run("mi_gaussian", *TINY, "--seeds", 2, "--run-dir", folder)
    return folder


def results(folder):
    found = json.loads((folder / "results.json").read_text())
    for toy in ("gaussian", "cubic"):
        for item in found[toy].values():
            assert item.pop("seconds") > 0
    return found


def test_run_directory_is_complete(trained):
    found = results(trained)
    learned = {"club/CLUB", "club/CLUB, wide q", "poole/InfoNCE"}
    assert set(found["gaussian"]) == learned | {"poole/TNCE"} and set(found["cubic"]) == learned
    lines = (trained / "gaussian" / "club" / "club" / "metrics.jsonl").read_text().splitlines()
    estimates = np.asarray([json.loads(line)["estimate"] for line in lines])
    assert estimates.shape == (20, 2)
    club = found["gaussian"]["club/CLUB"]
    for level, (end, truth) in enumerate(((10, 1.0), (20, 2.0))):
        last = estimates[end - 4 : end]
        np.testing.assert_allclose(np.asarray(club["mean"])[:, level], last.mean(0), rtol=1e-6)
        np.testing.assert_allclose(np.asarray(club["variance"])[:, level], last.var(0), rtol=1e-6)
        np.testing.assert_allclose(
            np.asarray(club["mse"])[:, level], ((last - truth) ** 2).mean(0), rtol=1e-6
        )
    assert {path.stem for path in (trained / "figures").iterdir()} == {
        *("gaussian-club", "gaussian-poole", "cubic-club", "cubic-poole", "under-fitted-conditional")
    }
    text = (trained / "report.html").read_text()
    assert text.count("data:image/png;base64,") == 5 and "Seconds of training" in text
    exact = analytic_club(np.array([1.0]), 2)[0] * 7 / 8
    assert f"{exact:.4g}" in text and "under-fit" in text


def test_every_estimator_of_a_seed_sees_the_same_truth(trained):
    for name in ("gaussian/club/club", "cubic/poole/infonce"):
        lines = [json.loads(line) for line in (trained / name / "metrics.jsonl").read_text().splitlines()]
        truth = [line["mutual_information"][0] for line in lines]
        assert truth == [1.0] * (len(lines) // 2) + [2.0] * (len(lines) // 2)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_results(trained, tmp_path):
    cut = tmp_path / "cut"
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start("mi_gaussian", *TINY, "--seeds", 2, "--run-dir", cut, **quiet)
    wait_for(cut / "gaussian" / "club" / "club-wide-q" / "checkpoints" / "last" / "10", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = (cut / "gaussian" / "club" / "club" / "end.json").read_text()
    run("mi_gaussian", "--resume", cut)
    assert results(cut) == results(trained)
    assert (cut / "gaussian" / "club" / "club" / "end.json").read_text() == finished


@pytest.mark.slow
def test_an_estimator_that_diverges_does_not_end_the_run(tmp_path):
    flags = (
        "--estimators",
        "poole/NWJ",
        "club/CLUB",
        "--data.toys",
        "gaussian",
        "--poole.learning-rate",
        100,
    )
    run("mi_gaussian", *TINY, *flags, "--run-dir", tmp_path / "run")
    found = json.loads((tmp_path / "run" / "results.json").read_text())["gaussian"]
    assert found["poole/NWJ"]["diverged"] and found["poole/NWJ"]["mean"][0][-1] is None
    assert np.isfinite(found["club/CLUB"]["mean"]).all() and not found["club/CLUB"]["diverged"]
    assert "diverged" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_evaluate_sums_up_otherwise(trained):
    before = results(trained)
    config = cli.from_json(mi_gaussian.Config, open_run(trained).config)
    changed = cli.from_json(mi_gaussian.Config, {**cli.to_json(config), "evaluate": {"window": 2, "span": 3}})
    replay(mi_gaussian.EXPERIMENT, open_run(trained), changed)
    assert results(trained)["gaussian"]["club/CLUB"]["mean"] != before["gaussian"]["club/CLUB"]["mean"]
    replay(mi_gaussian.EXPERIMENT, open_run(trained), config)
    assert results(trained) == before


def test_an_unfinished_run_is_not_reported(trained):
    stage = measures.Stage("gaussian", "club/NWJ", 20)
    with pytest.raises(UserError, match=r"club/nwj.*--resume"):
        measures.measure(open_run(trained), stage, measures.Toys((1.0, 2.0), 2, 8), 4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train.step", "5"], "--train.steps"),
        (["--seeds", "0"], "--seeds"),
        (["--preset", "imagenet"], "--preset"),
        (["--estimators", "club/DINE"], "club/DINE"),
        (["--train.steps", "20001"], "--train.steps"),
        (["--poole-steps", "5001"], "--poole-steps"),
        (["--poole-steps", "500"], "--evaluate.window"),
        (["--evaluate.window", "0"], "--evaluate.window"),
        (["--evaluate.span", "0"], "--evaluate.span"),
        (["--train.batch-size", "1"], "--train.batch-size"),
        (["--train.evaluate-every", "5"], "--train.evaluate-every"),
        (["--train.log-every", "10"], "--train.log-every"),
        (["--train.ema-decay", "0.9"], "--train.ema-decay"),
        (["--data.levels", "2", "nan"], "--data.levels"),
        (["--data.levels", "-1"], "--data.levels"),
        (["--data.toys", "cubic", "cubic"], "--data.toys"),
        (["--data.dim", "0"], "--data.dim"),
        (["--club.hidden-size", "1"], "--club.hidden-size"),
        (["--club.learning-rate", "0"], "--club.learning-rate"),
        (["--poole.learning-rate", "nan"], "--poole.learning-rate"),
        (["--poole.hidden", "8", "0"], "--poole.hidden"),
        (["--resume", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in said_on_failure(mi_gaussian.main, arguments, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_settings_may_not_change_under_a_run(trained, monkeypatch, capsys):
    said = said_on_failure(
        mi_gaussian.main, ["--resume", trained, "--train.steps", "40"], monkeypatch, capsys
    )
    assert "train.steps" in said


def test_published_settings_are_those_of_the_notebooks():
    paper = mi_gaussian.PAPER
    assert (paper.train.steps, paper.train.batch_size, paper.poole_steps) == (20_000, 64, 0)
    assert (paper.data.dim, paper.data.levels) == (20, (2.0, 4.0, 6.0, 8.0, 10.0))
    assert (paper.evaluate.window, paper.evaluate.span) == (500, 200)
    assert paper.poole.network == "concatenated" and set(mi_gaussian.chosen(paper)) >= set(
        page.PUBLISHED_BIAS
    )
    for preset in mi_gaussian.PRESETS.values():
        mi_gaussian.check(preset)
        assert len({stage.folder for stage in mi_gaussian.stages(preset)}) == len(mi_gaussian.stages(preset))
