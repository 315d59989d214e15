"""Minimising mutual information as a user does: a tiny run end to end, measured again, and misused."""

import json
import math

import numpy as np
import pytest

from experiments import cli, mi_minimisation
from experiments.information import minimisation_measures as measures
from experiments.information.minimisation_report import PUBLISHED_COURSE, Subject, _blind
from experiments.information.minimisation_stages import in_both_domains
from experiments.session import replay
from tests.experiments.commands import run, said_on_failure
from train.data.digits import Images
from train.run_directory import open_run

TINY = (
    *("--train.steps", 4, "--train.inner-steps", 2, "--train.log-every", 1, "--train.checkpoint-every", 4),
    *("--estimates", "club", "--penalties", "plain", "vCLUB", "--methods", "club"),
    *("--parts", "gaussians", "bottleneck"),
    *("--bottleneck.latent-dim", 3, "--bottleneck.hidden", 6, "--bottleneck.q-hidden", 4),
    *("--bottleneck.batch-size", 16, "--adaptation.channels", 3, "--adaptation.batch-size", 8),
    *("--adaptation.domain-hidden", 4, "--adaptation.convolutions", 1, "--seeds", 2, "--evaluate.samples", 2),
)


def a_run(folder, *flags):
    """Of two seeds, on digits of a file."""
    rng = np.random.default_rng(0)
    arrays = {
        f"{what}_{part}": rng.integers(0, limit, (size, *shape), np.uint8)
        for part, size in (("train", 40), ("test", 22))
        for what, limit, shape in (("x", 256, (5, 4)), ("y", 10, ()))
    }
    np.savez(folder / "own.npz", **arrays)
    source = ("--data.source", "npz", "--data.path", folder / "own.npz")
    run("mi_minimisation", *TINY, *flags, *source, "--run-dir", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Without the part that takes longest to compile."""
    return a_run(tmp_path_factory.mktemp("runs"))


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_run_directory_is_complete(trained):
    found = results(trained)
    assert {part: set(items) for part, items in found.items()} == {
        "gaussians": {"club"},
        "bottleneck": {"plain", "vCLUB"},
    }
    kept = found["bottleneck"]["vCLUB"]
    wrong = 22 * np.asarray(kept["error"])
    np.testing.assert_allclose(wrong, np.round(wrong), atol=1e-4)
    assert np.all((wrong >= 0) & (wrong <= 22))
    assert all(
        low <= math.log(22) + 1e-5 and low <= high
        for low, high in zip(kept["lower"], kept["upper"], strict=True)
    )
    assert found["bottleneck"]["plain"]["rate"] == [None, None]
    assert found["gaussians"]["club"]["steps"] == 4
    assert {path.stem for path in (trained / "figures").iterdir()} == {*("gaussians", "bottleneck")}
    text = (trained / "report.html").read_text()
    assert text.count("data:image/png;base64,") == 2 and "own" in text


@pytest.mark.slow
def test_domain_adaptation_from_start_to_report(tmp_path):
    folder = a_run(tmp_path, "--parts", "adaptation")
    found = results(folder)["adaptation"]
    assert set(found) == {"club", "labels of the target"}
    assert np.asarray(found["club"]["target"]).shape == (2,)
    assert {path.stem for path in (folder / "figures").iterdir()} == {"adaptation", "domains"}


@pytest.mark.slow
def test_evaluate_measures_again(trained):
    before = results(trained)
    config = cli.from_json(mi_minimisation.Config, open_run(trained).config)
    replay(mi_minimisation.EXPERIMENT, open_run(trained), config)
    assert results(trained) == before
    fewer = cli.from_json(mi_minimisation.Config, {**cli.to_json(config), "evaluate": {"pairs": 4}})
    replay(mi_minimisation.EXPERIMENT, open_run(trained), fewer)
    assert max(results(trained)["bottleneck"]["vCLUB"]["lower"]) <= math.log(4) + 1e-5


def test_batches_cover_every_row_once():
    for size, batch in ((10, 4), (8, 4), (3, 5)):
        parts = measures.batches(size, batch)
        rows = np.concatenate([np.arange(size)[part][new:] for part, new in parts])
        np.testing.assert_array_equal(rows, np.arange(size))
        assert len({len(np.arange(size)[part]) for part, _ in parts}) == 1


def test_no_original_is_in_both_domains():
    images = Images(
        np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32) / 9, np.arange(5)
    )
    source, target = in_both_domains(images, "inverted")
    assert [*source.label, *target.label] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(1 - target.image[0, 0, 0], images.image[2, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--parts", "gaussians", "gaussians"], "--parts"),
        (["--parts", "celeba"], "celeba"),
        (["--penalties", "MINE"], "--penalties"),
        (["--train.batch-size", "8"], "--train.batch-size"),
        (["--train.evaluate-every", "5"], "--train.evaluate-every"),
        (["--train.steps", "-1"], "--train.steps"),
        (["--bottleneck.decay-epochs", "0"], "--bottleneck.decay-epochs"),
        (["--bottleneck.beta", "nan"], "--bottleneck.beta"),
        (["--adaptation.channels", "4", "0"], "--adaptation.channels"),
        (["--adaptation.channels", "4", "4", "4", "4", "4"], "--adaptation.channels"),
        (["--adaptation.dropout", "1"], "--adaptation.dropout"),
        (["--adaptation.batch-size", "1000"], "--adaptation.batch-size"),
        (["--gaussians.learning-rate", "0"], "--gaussians.learning-rate"),
        (["--gaussians.angle", "inf"], "--gaussians.angle"),
        (["--data.source", "npz"], "--data.path"),
        (["--data.path", "x.npz"], "--data.path"),
        (["--data.domain", "mirrored"], "--data.domain"),
        (["--resume", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in said_on_failure(mi_minimisation.main, arguments, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_published_settings():
    paper = mi_minimisation.PAPER
    assert (paper.bottleneck.epochs, paper.adaptation.steps, paper.gaussians.steps) == (200, 15_000, 5000)
    assert len(PUBLISHED_COURSE) == 10 and paper.train.steps == 0
    assert mi_minimisation.QUICK.gaussians == paper.gaussians
    for preset in mi_minimisation.PRESETS.values():
        mi_minimisation.check(preset)


def test_what_sees_no_image():
    subject = Subject("digits", (0, 0), [30, 10, 0, 10], "shifted", None)
    assert _blind(subject) == {"(the most frequent class, always)": 0.6, "(chance)": 0.25}
