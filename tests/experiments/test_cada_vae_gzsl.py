"""The zero-shot experiment as a user runs it: a tiny run end to end, again from its checkpoint, killed, and misused."""

import json
import signal
import subprocess

import numpy as np
import pytest
from scipy.io import savemat

from experiments import cada_vae_gzsl, encode, evaluate
from experiments.zero_shot import protocol, report, stages
from experiments.zero_shot.latent_classifier import Setting
from tests.experiments.commands import run, said_on_failure, start, wait_for
from train.errors import UserError
from train.steps.cada_vae import CADAVAEConfig
from train.steps.cada_vae_classifier import ClassifierConfig

TINY = (
    *("--model.latent-dim", "4", "--model.image-hidden", "12", "10", "--model.side-hidden", "8", "6"),
    *("--train.steps", "12", "--train.batch-size", "8", "--train.inner-steps", "3"),
    *("--train.checkpoint-every", "4", "--train.log-every", "1", "--evaluate.samples", "16"),
    *("--evaluate.unseen-samples", "16", "32", "--evaluate.max-passes", "3"),
)

ONE_COUNT = ("--evaluate.unseen-samples", "16")
"""Each count of samples is one more classifier to compile."""


def benchmark(classes=8, unseen=2, per_class=12, seed=0):
    """Classes around the image of their attributes: fields of a benchmark, counted from 0."""
    random = np.random.default_rng(seed)
    attributes = random.normal(size=(classes, 5)).astype(np.float32)
    labels = np.repeat(np.arange(classes), per_class)
    features = np.abs(attributes @ random.normal(size=(5, 9)))[labels] + random.uniform(
        0, 0.3, (len(labels), 9)
    )
    seen = np.flatnonzero(labels < classes - unseen)
    return {
        "features": features.astype(np.float32),
        "labels": labels,
        "att": attributes,
        "trainval_loc": seen[seen % 4 > 0],
        "test_seen_loc": seen[seen % 4 == 0],
        "test_unseen_loc": np.flatnonzero(labels >= classes - unseen),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The flags of a small file."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, **benchmark())
    return ("--data.source", "npz", "--data.path", str(path))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of two seeds, in this process."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
        cada_vae_gzsl.main([*TINY, *data, "--seeds", "2", "--run-dir", str(folder)])
        yield folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_run_directory_is_complete(trained):
    found = results(trained)
    assert found["seeds"] == [0, 1] and set(found["settings"]) == {"GZSL", "ZSL"}
    gzsl = found["settings"]["GZSL"]
    assert 1 <= gzsl["passes"] <= 3 and gzsl["unseen_samples"] in (16, 32)
    curves = {name: np.asarray(values) for name, values in gzsl["curves"].items()}
    assert all(values.shape == (2, 3) for values in curves.values())
    s, u = curves["seen"], curves["unseen"]
    np.testing.assert_allclose(curves["score"], 2 * s * u / np.maximum(s + u, 1e-12), atol=1e-6)
    np.testing.assert_array_equal(gzsl["score"], curves["score"][:, gzsl["passes"] - 1])
    # What stops the classifier is the validation curve alone.
    assert gzsl["passes"] == np.asarray(gzsl["validation_score"]).mean(0).argmax() + 1
    assert sum(name.startswith("ridge regression") for name in found["baselines"]) == 2
    assert {path.stem for path in (trained / "figures").iterdir()} == {
        *("gzsl-passes", "gzsl-confusion", "zsl-passes", "zsl-confusion", "latents", "curves")
    }
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6 and "nothing was chosen on test rows" in page
    assert (trained / "validation" / "metrics.jsonl").is_file()


@pytest.mark.slow
def test_evaluate_measures_again_and_otherwise(trained):
    before = results(trained)
    few = "--settings gfsl fsl --shots 2 --stopping fixed --passes 2 --unseen-samples 16"
    evaluate.main([str(trained), *few.split()])
    after = results(trained)["settings"]
    assert set(after) == {"GFSL 2-shot", "FSL 2-shot"} and after["FSL 2-shot"]["passes"] == 2
    assert np.asarray(after["FSL 2-shot"]["curves"]["unseen"]).shape == (2, 2)
    evaluate.main([str(trained)])
    assert results(trained) == before


@pytest.mark.slow
def test_seeds_of_one_program_are_the_single_runs(trained, data, tmp_path):
    run("cada_vae_gzsl", *TINY, *data, "--seed", 1, "--run-dir", tmp_path / "one")

    def losses(folder):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return np.asarray([line["loss"] for line in lines])

    np.testing.assert_allclose(losses(trained)[:, 1], losses(tmp_path / "one")[:, 0], rtol=1e-5)


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_results(data, tmp_path):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    settings = (*TINY, *ONE_COUNT, *data, "--seeds", 2)
    run("cada_vae_gzsl", *settings, "--run-dir", whole)
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start("cada_vae_gzsl", *settings, "--run-dir", cut, **quiet)
    wait_for(cut / "validation" / "checkpoints" / "last" / "4", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("cada_vae_gzsl", "--resume", cut)
    assert results(cut) == results(whole)
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_standard_files_and_two_kinds_of_attributes(tmp_path):
    fields = benchmark()
    locs = {name: value[:, None] + 1.0 for name, value in fields.items() if name.endswith("_loc")}
    names = np.array([[f"class {i}"] for i in range(8)], object)
    savemat(
        tmp_path / "res101.mat", {"features": fields["features"].T, "labels": fields["labels"][:, None] + 1}
    )
    other = np.random.default_rng(1).normal(size=(3, 8))
    attributes = {"att": fields["att"].T, "sentences": other, "allclasses_names": names}
    savemat(tmp_path / "att_splits.mat", {**attributes, **locs})
    flags = ("--data.source", "xlsa17", "--data.path", tmp_path, "--data.attributes", "att", "sentences")
    official = ("--evaluate.stopping", "awa2", "--evaluate.settings", "zsl", "--evaluate.unseen-samples", 16)
    run("cada_vae_gzsl", *TINY, *flags, *official, "--run-dir", tmp_path / "run")
    assert results(tmp_path / "run")["settings"]["ZSL"]["passes"] == 39
    assert not (tmp_path / "run" / "validation").exists()
    with pytest.raises(UserError, match="never saw the validation classes"):
        evaluate.main([str(tmp_path / "run"), "--stopping", "validation"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train.step", "3"], "--train.steps"),
        (["--seeds", "0"], "--seeds"),
        (["--preset", "imagenet"], "--preset"),
        (["--preset", "cub"], "--data.path"),
        (["--data.source", "npz", "--data.path", "nowhere.npz"], "nowhere.npz"),
        (["--train.evaluate-every", "5"], "--train.evaluate-every"),
        (["--train.batch-size", "1"], "--train.batch-size"),
        (["--train.batch-size", "5000"], "--train.batch-size"),
        (["--train.patience", "3"], "--train.patience"),
        (["--model.image-hidden", "5"], "--model.image-hidden"),
        (["--model.kl.factor", "nan"], "--model.kl.factor"),
        (["--model.latent-dim", "1"], "--model.latent-dim"),
        (["--evaluate.samples", "1", "--evaluate.unseen-samples", "1"], "--evaluate.classifier.batch-size"),
        (["--evaluate.settings"], "--evaluate.settings"),
        (["--data.attributes", "att", "attributes"], "--data.attributes"),
        (["--model.epochs", "0"], "--model.epochs"),
        (["--model.learning-rate", "nan"], "--model.learning-rate"),
        (["--evaluate.shots", "0"], "--evaluate.shots"),
        (["--evaluate.max-passes", "0"], "--evaluate.max-passes"),
        (
            ["--evaluate.stopping", "fixed", "--evaluate.unseen-samples", "9", "8"],
            "--evaluate.unseen-samples",
        ),
        (["--evaluate.settings", "gfsl", "--evaluate.shots", "5000"], "5000"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = arguments if "--preset" in arguments else [*data, *arguments]
    assert expected in said_on_failure(cada_vae_gzsl.main, given, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "spoil", "expected"),
    [
        ("att", lambda a: np.where(np.arange(8)[:, None] == 3, 0, a), "zeros"),
        ("features", lambda f: np.where(np.arange(len(f))[:, None] == 7, np.nan, f), "NaN"),
        ("labels", lambda y: y + 1, "labels"),
        ("test_seen_loc", lambda rows: np.append(rows, 1), "overlaps"),
    ],
)
def test_a_bad_file_is_named_with_its_field(field, spoil, expected, tmp_path, monkeypatch, capsys):
    fields = benchmark()
    np.savez(tmp_path / "bad.npz", **{**fields, field: spoil(fields[field])})
    flags = ["--data.source", "npz", "--data.path", tmp_path / "bad.npz"]
    said = said_on_failure(cada_vae_gzsl.main, flags, monkeypatch, capsys)
    assert expected in said and "bad.npz" in said and field in said


def test_commands_on_images_refuse_the_run(trained, tmp_path, monkeypatch, capsys):
    arguments = [trained, "--input", tmp_path / "x.npz", "--out", tmp_path / "z.npz"]
    np.savez(tmp_path / "x.npz", images=np.zeros((1, 64, 64, 3), np.uint8))
    assert "cada_vae_gzsl" in said_on_failure(encode.main, arguments, monkeypatch, capsys)
    official = [trained, "--stopping", "cub", "--settings", "gfsl", "--shots", "3", "--unseen-samples", "16"]
    assert "official" in said_on_failure(evaluate.main, official, monkeypatch, capsys)
    shots = [trained, "--settings", "fsl", "--shots", "0"]
    assert "error: --shots" in said_on_failure(evaluate.main, shots, monkeypatch, capsys)


PASSES = """
0  21 30  33 25  23 22  29 39
1  22 96  40 81  34 46  44 96
2  29 61  56 59  39 31  69 79
5  29 78  89 62  64 73  99 100
10 79 94  100 50  85 67  86 78
"""
"""Shots, then passes generalised and of unseen classes alone: SUN, AWA1, CUB, AWA2."""


@pytest.mark.parametrize("line", PASSES.split("\n")[1:-1], ids=lambda line: line.split()[0])
def test_official_passes_and_latents(line):
    shots, *passes = map(int, line.split())
    for name, generalised, alone in zip(
        ("sun", "awa1", "cub", "awa2"), passes[::2], passes[1::2], strict=True
    ):
        config = cada_vae_gzsl.PRESETS[name].evaluate
        latents = 200 if shots else 400
        assert protocol.choose(Setting(True, shots), config, None, 0)[:2] == (generalised, latents)
        assert protocol.choose(Setting(False, shots), config, None, 0)[:2] == (alone, 200)


def test_published_settings_are_those_of_the_paper():
    for name in ("paper", "cub", "sun", "awa1", "awa2"):
        preset = cada_vae_gzsl.PRESETS[name]
        assert preset.model == CADAVAEConfig() and preset.model.epochs == 100
        assert preset.train.batch_size == 50 and preset.train.steps == 0
        assert preset.evaluate.samples == 200 and preset.evaluate.unseen_samples == (400,)
        assert preset.evaluate.classifier == ClassifierConfig(learning_rate=1e-3, batch_size=32)
        assert preset.data.source == ("procedural" if name == "paper" else "xlsa17")
        assert preset.evaluate.stopping == ("validation" if name == "paper" else name)
    # U, S, H of the paper's table.
    table = {"cub": (51.6, 53.5, 52.4), "sun": (47.2, 35.7, 40.6), "awa1": (57.3, 72.8, 64.1)}
    table["awa2"] = (55.8, 75.0, 63.9)
    ours = {name: (100 * u, 100 * s, 100 * h) for name, (s, u, h) in report.PUBLISHED.items()}
    assert {name: tuple(np.round(row, 1)) for name, row in ours.items()} == table


def test_validation_features_are_scaled_by_their_own_training_rows(data):
    whole = protocol.open_data(protocol.DataConfig(source="npz", path=data[-1]))
    part = stages.tasks(whole, "validation")["validation"]
    rows = part.features[part.trainval]
    np.testing.assert_allclose(rows.min(0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.max(0), 1, atol=1e-6)
