"""The experiment as a user runs it: a tiny run end to end, the commands on it, and wrong input."""

import json
import shutil
import signal
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import cli, encode, evaluate, gwae_3dshapes, sample, unions, weights
from experiments.representation import autoencoding, view
from experiments.representation.view import open_model
from tests.experiments.commands import run, said_on_failure, start, wait_for
from tests.experiments.few_images import FEW
from train import devices
from train.steps.vae import VAEConfig

TINY = (
    *(
        "--train.steps",
        "6",
        "--train.batch-size",
        "8",
        "--train.evaluate-every",
        "3",
        "--train.checkpoint-every",
        "2",
    ),
    *("--train.inner-steps", "2", "--train.log-every", "1", "--data.validation-size", "16"),
    *("--evaluate.train-codes", "100", "--evaluate.test-codes", "100", "--evaluate.votes", "4"),
    *("--evaluate.images", "64", "--evaluate.regressor", "random-forest"),
)
FAST = (*TINY, "--model.objective", "vae")


ONE_MODEL = (*FAST, "--evaluate.no-baselines", "--evaluate.votes", "0")
"""Measuring takes longer than training: without what the scores of a model are compared with."""


@pytest.fixture(scope="module")
def main_job(small_images, tmp_path_factory):
    """A run of what the README trains, GWAE with its prior and its critic, on one device as most have."""
    folder = tmp_path_factory.mktemp("runs") / "gwae"
    short = ("--train.steps", "3", "--train.checkpoint-every", "3", "--model.objective", "gwae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
        patch.setattr(view, "BATCH", FEW)
        with pytest.MonkeyPatch.context() as training:
            training.setattr(devices, "data_mesh", devices.one_device_mesh)
            gwae_3dshapes.main([*ONE_MODEL, *small_images, *short, "--run-dir", str(folder)])
        yield folder


@pytest.fixture(scope="module")
def trained(small_images, tmp_path_factory):
    """A run of one seed of the VAE on eight devices."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
        patch.setattr(view, "BATCH", FEW)  # images are few, and batches are filled up
        gwae_3dshapes.main([*ONE_MODEL, *small_images, "--run-dir", str(folder)])
        yield folder


@pytest.mark.slow
def test_two_seeds_beside_a_random_network_and_linear_codes(small_images, tmp_path):
    run("gwae_3dshapes", *FAST, *small_images, "--seeds", 2, "--run-dir", tmp_path / "run", few_images=True)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["seeds"] == [0, 1] and results["step"] == 6
    model, random, linear = results["scores"].values()
    assert len(model) == len(random) == 2 and len(linear) == 1


@pytest.mark.slow
def test_run_directory_is_complete(trained):
    assert {"report.html", "results.json", "metrics.jsonl", "config.json", "figures", "checkpoints"} <= {
        path.name for path in trained.iterdir()
    }
    results = json.loads((trained / "results.json").read_text())
    assert results["seeds"] == [0] and results["step"] == 6
    assert list(results["scores"]) == ["VAE"] and len(results["scores"]["VAE"]) == 1
    assert {path.stem for path in (trained / "figures").iterdir()} == {
        "reconstructions",
        "traversals",
        "prior_samples",
        "distances",
        "latents",
        "curves",
        "importance",
    }
    page = (trained / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7


def test_embedded_images_are_named_for_what_they_are():
    source, split = autoencoding.open_data(gwae_3dshapes.QUICK.data, gwae_3dshapes.QUICK.evaluate)
    assert source.name == "shapes3d-procedural" and len(split.train) > len(split.test) > 0


@pytest.mark.slow
def test_evaluate_measures_the_same_again(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    before = json.loads((folder / "results.json").read_text())
    run("evaluate", folder, few_images=True)
    after = json.loads((folder / "results.json").read_text())
    np.testing.assert_allclose(after["reconstruction"]["psnr"], before["reconstruction"]["psnr"], rtol=1e-6)


def test_encode_and_sample_use_the_run(main_job, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    folder = tmp_path / "png"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    codes = []
    for source, out in ((tmp_path / "images.npz", "a.npz"), (folder, "b.npz")):
        encode.main([str(main_job), "--input", str(source), "--out", str(tmp_path / out)])
        with np.load(tmp_path / out, allow_pickle=False) as archive:
            codes.append(archive["mean"])
    assert codes[0].shape == (1, 3, 10)
    np.testing.assert_array_equal(*codes)

    sample.main([str(main_job), "--n", "5", "--out", str(tmp_path / "samples")])
    assert len(list((tmp_path / "samples" / "seed0").glob("*.png"))) == 5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train.step", "3"], "--train.steps"),
        (["--train.steps", "many"], "--train.steps"),
        (["--model.latent-dim", "0"], "--model.latent-dim"),
        (["--train.batch-size", "0"], "--train.batch-size"),
        (["--seeds", "0"], "--seeds"),
        (["--data.source", "npz", "--data.path", "nowhere.npz"], "nowhere.npz"),
        (["--data.source", "npz"], "--data.path"),
        (["--resume", "nowhere"], "nowhere"),
        (["--preset", "fast"], "--preset"),
        (["--train.patience", "3", "--train.evaluate-every", "0"], "--train.patience"),
        (["--model.warmup-steps", "-5"], "--model.warmup-steps"),
        (["--model.warmup-steps", "5000"], "--model.warmup-steps"),
        (["--model.latent-dim", "5000"], "--model.latent-dim"),
        (["--model.objective", "gan"], "choose gwae, vae, beta-vae, factor-vae or dip-vae"),
        (["--model.beta", "3"], "--model.beta"),
        (["--model.objective", "vae", "--model.critic-steps", "3"], "--model.critic-steps"),
        (["--model.objective", "factor-vae", "--model.gamma", "-1"], "--model.gamma"),
        (
            ["--model.objective=factor-vae", "--model.second-batch", "--train.batch-size", "2"],
            "--train.batch-size",
        ),
        (["--model.objective", "dip-vae", "--model.diagonal", "-1"], "--model.diagonal"),
        (["--data.device-gb", "nan"], "--data.device-gb"),
        (["--distributed.coordinator", "foo"], "--distributed.coordinator"),
        (["--evaluate.train-codes", "48000"], "--evaluate.train-codes"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert expected in said_on_failure(gwae_3dshapes.main, arguments, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_bad_input_of_the_commands(main_job, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "broken.png").write_bytes(b"no image")
    for name in ("empty.npz", "array.npz", "broken.png", "absent"):
        arguments = [main_job, "--input", tmp_path / name, "--out", tmp_path / "z.npz"]
        assert name in said_on_failure(encode.main, arguments, monkeypatch, capsys)
    assert "RUN_DIR" in said_on_failure(evaluate.main, [tmp_path], monkeypatch, capsys)
    wrong_seed = [main_job, "--out", tmp_path / "s", "--seed", 9]
    assert "--seed" in said_on_failure(sample.main, wrong_seed, monkeypatch, capsys)
    assert not (tmp_path / "z.npz").exists()


def test_the_main_job_from_command_to_report(main_job):
    results = json.loads((main_job / "results.json").read_text())
    assert results["seeds"] == [0] and results["step"] == 3
    assert list(results["scores"]) == ["GWAE (factorised-neural prior)"]
    assert {"loss_gw", "loss_w", "loss_d", "loss_h"} <= set(results["held_out_terms"])
    assert np.isfinite(results["reconstruction"]["psnr"]).all()
    shown = {path.stem for path in (main_job / "figures").iterdir()}
    assert {"reconstructions", "traversals", "prior_samples", "distances", "latents", "curves"} <= shown
    assert (main_job / "report.html").read_text().count("data:image/png;base64,") == len(shown)


def test_the_commands_on_the_main_job(main_job, tmp_path):
    before = json.loads((main_job / "results.json").read_text())
    evaluate.main([str(main_job)])
    after = json.loads((main_job / "results.json").read_text())
    np.testing.assert_allclose(after["reconstruction"]["psnr"], before["reconstruction"]["psnr"], rtol=1e-5)

    np.savez(tmp_path / "images.npz", images=np.full((3, 64, 64, 3), 90, np.uint8))
    out = tmp_path / "codes.npz"
    encode.main([str(main_job), "--input", str(tmp_path / "images.npz"), "--out", str(out)])
    with np.load(out, allow_pickle=False) as codes:
        assert codes["mean"].shape == (1, 3, 10) and np.isfinite(codes["mean"]).all()
        mean = codes["mean"]

    sample.main([str(main_job), "--n", "2", "--out", str(tmp_path / "samples")])
    assert len(list((tmp_path / "samples" / "seed0").glob("*.png"))) == 2

    file, copy = tmp_path / "weights.npz", tmp_path / "copy"
    weights.main(["export", str(main_job), "--out", str(file)])
    weights.main(["import", str(main_job), "--weights", str(file), "--out", str(copy)])
    encode.main([str(copy), "--input", str(tmp_path / "images.npz"), "--out", str(tmp_path / "again.npz")])
    with np.load(tmp_path / "again.npz", allow_pickle=False) as codes:
        np.testing.assert_allclose(codes["mean"], mean, rtol=1e-5, atol=1e-6)


def test_batch_must_divide_over_the_devices(small_images, tmp_path, monkeypatch, capsys):
    arguments = [*FAST, *small_images, "--train.batch-size", 12, "--run-dir", tmp_path / "a"]
    said = said_on_failure(gwae_3dshapes.main, arguments, monkeypatch, capsys)
    assert "12" in said and "8 devices" in said


OLD = {
    **{
        "objective": "gwae",
        "latent_dim": 10,
        "learning_rate": 4e-4,
        "warmup_steps": 200,
        "decay_steps": 2000,
    },
    **{"batch_norm": False, "residual_blocks": False, "padding": "edge", "dtype": "float32"},
    **{"prior": "factorised-neural", "components": 10, "mixture": "coded", "coef_w": 1.0, "coef_d": 1.0},
    **{"coef_h": 0.03, "distance_scale": 12.0, "joint": "critic", "critic_learning_rate": 2e-4},
    **{"critic_steps": 1, "gradient_penalty": 10.0, "learned_similarity": False, "mixed_potential": False},
    **{"latent_batch_norm": False, "beta": 4.0, "beta_schedule": "constant", "beta_steps": 10000},
}
"""The model in config.json of a run of the quick preset, when settings of all objectives were one class."""


@pytest.mark.parametrize("objective", ["gwae", "vae", "beta-vae"])
def test_settings_of_a_run_before_each_objective_had_its_own(objective):
    quick = gwae_3dshapes.QUICK
    saved = {**cli.to_json(quick), "model": {**OLD, "objective": objective}}
    read = cli.from_json(gwae_3dshapes.Config, json.loads(json.dumps(saved)))
    assert read == unions.chosen(quick, ["--model.objective", objective])


@pytest.mark.slow
def test_a_run_before_each_objective_had_its_own_goes_on(trained, tmp_path):
    """As it was saved then: with settings of GWAE in a run of the VAE, and a state of another class."""
    folder = tmp_path / "old"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["model"] = {**OLD, **config["config"]["model"]}
    (folder / "config.json").write_text(json.dumps(config))
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 64, 64, 3), np.uint8))
    for run_directory, out in ((folder, "old.npz"), (trained, "new.npz")):
        arguments = [run_directory, "--input", tmp_path / "images.npz", "--out", tmp_path / out]
        encode.main([str(argument) for argument in arguments])
    with np.load(tmp_path / "old.npz") as old, np.load(tmp_path / "new.npz") as new:
        np.testing.assert_array_equal(old["mean"], new["mean"])
    experiment = gwae_3dshapes.EXPERIMENT
    parts = gwae_3dshapes.Config, gwae_3dshapes.PRESETS, experiment.name
    config, run = cli.parse(*parts, "", ["--resume", str(folder), "--train.steps", "8"])
    assert config.model == VAEConfig(latent_dim=10, learning_rate=4e-4, warmup_steps=200, decay_steps=2000)
    resumed = cli.open_or_create(config, run, experiment.name, experiment.changeable(config))
    assert resumed.path == folder


def test_resume_refuses_changed_settings(main_job, monkeypatch, capsys):
    changed = ["--resume", main_job, "--model.latent-dim", 5]
    said = said_on_failure(gwae_3dshapes.main, changed, monkeypatch, capsys)
    assert "latent" in said and "train.steps" in said
    assert "--resume" in said_on_failure(gwae_3dshapes.main, ["--run-dir", main_job], monkeypatch, capsys)


def final_state(folder):
    """Every array of the newest checkpoint, keys as their data."""
    state = open_model(folder, "last").state
    return jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


# With batch norm as in the run of two processes, whose programs of one device are these.
RESUMABLE = (*ONE_MODEL, "--model.batch-norm")


@pytest.fixture(scope="module")
def whole(small_images, tmp_path_factory):
    """A run by its command, on one device."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run("gwae_3dshapes", *RESUMABLE, *small_images, "--run-dir", folder, few_images=True)
    return folder


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_losses(whole, small_images, tmp_path):
    cut = tmp_path / "cut"
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start("gwae_3dshapes", *RESUMABLE, *small_images, "--run-dir", cut, few_images=True, **quiet)
    wait_for(cut / "checkpoints" / "last" / "2", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("gwae_3dshapes", "--resume", cut, few_images=True)
    assert losses(cut) == losses(whole)
    (a, b) = (final_state(folder) for folder in (cut, whole))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(small_images, tmp_path):
    folder = tmp_path / "run"
    settings = (*RESUMABLE, *small_images, "--train.steps", "100000", "--run-dir", folder)
    process = start("gwae_3dshapes", *settings, stderr=subprocess.PIPE)
    wait_for(folder / "checkpoints" / "last" / "2", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 130
    assert "--resume" in said and "Traceback" not in said


@pytest.mark.slow
def test_more_steps_are_permitted(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    run("gwae_3dshapes", "--resume", folder, "--train.steps", 8, few_images=True)
    assert json.loads((folder / "results.json").read_text())["step"] == 8
