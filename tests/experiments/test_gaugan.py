"""GauGAN and DAGAN as a user runs them: a tiny run on folders end to end, resumed, served, misused.

The training program alone takes a minute to compile, whatever its size: what trains is slow here.
"""

import json
import shutil
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import cli, dagan, evaluate, gaugan, synthesise
from experiments.synthesis import layout_synthesis
from tests.experiments.commands import run, said_on_failure, start, wait_for
from train.errors import UserError
from train.layout import Layout
from train.run_directory import open_run
from train.steps.gaugan import init_state
from train.steps.gaugan_networks import GauGANConfig
from train.steps.gaugan_weights import export_official

SIDE = 32
TINY = (
    *("--model.width", "2", "--model.discriminator-width", "2", "--model.encoder-size", "8", "--model.vae"),
    *("--model.latent-dim", "3", "--train.batch-size", "8", "--train.inner-steps", "2"),
    *("--train.log-every", "1", "--evaluate.segmenter.steps", "4", "--evaluate.segmenter.widths", "4", "4"),
    *("--evaluate.style-pairs", "2", "--evaluate.styles", "2", "--evaluate.batch-size", "4"),
)


def write_folders(root, count=20, seed=0):
    """Pairs: a square of class 1 or 2 on class 0, in the colour of its class, unknown pixels in a corner."""
    draw = np.random.default_rng(seed)
    colours = np.array([[200, 200, 200], [220, 30, 30], [30, 60, 220]])
    for name in ("labels", "images", "instances"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        label = np.zeros((SIDE, SIDE), np.uint8)
        top, left = draw.integers(0, SIDE // 2, 2)
        label[top : top + 14, left : left + 14] = 1 + i % 2
        image = colours[label] + draw.integers(-20, 20, (SIDE, SIDE, 1))
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(root / "images" / f"{i}.png")
        Image.fromarray((label > 0).astype(np.uint8)).save(root / "instances" / f"{i}.png")
        label[:3, :3] = 255
        Image.fromarray(label).save(root / "labels" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("data"))


def flags(folders, *more):
    """A run on the folders."""
    names = [(f"--data.{name}", str(folders / name)) for name in ("labels", "images", "instances")]
    sizes = ("--data.crop-size", str(SIDE), "--data.resize-mode", "resize_and_crop", "--data.classes", "3")
    described = ("--data.source", "folders", "--data.dont-care", "True", *sizes)
    return [*TINY, *(part for pair in names for part in pair), *described, *map(str, more)]


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """A run with styles, dont-care and instances."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run("gaugan", *flags(folders, "--train.steps", 4, "--train.checkpoint-every", 2, "--run-dir", folder))
    return folder


@pytest.mark.slow
def test_run_directory_is_complete(trained):
    found = json.loads((trained / "results.json").read_text())
    assert found["step"] == 4 and found["images"] == 2 and found["corrupt"] == []
    assert len(found["generated"]["mIoU"]) == 1 and 0 <= found["real"]["mIoU"] <= 1
    assert len(found["spread"]) == 1
    assert {path.name for path in (trained / "figures").iterdir()} == {
        *("test.png", "styles.png", "between.png", "curves.png"),
        *("samples_0000002.png", "samples_0000004.png"),
    }
    page = (trained / "report.html").read_text()
    assert "unknown not counted" in page and "unknown a class of its own" in page
    steps = [json.loads(line)["step"] for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_losses(trained, folders, tmp_path):
    folder = tmp_path / "run"
    limits = ("--train.steps", 4, "--train.checkpoint-every", 2, "--run-dir", folder)
    process = start("gaugan", *flags(folders, *limits))
    wait_for(folder / "figures" / "samples_0000002.png", process, seconds=900)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("gaugan", "--resume", folder)
    read = lambda folder: (folder / "metrics.jsonl").read_text()  # noqa: E731
    assert read(folder) == read(trained)
    found, wanted = (json.loads((f / "results.json").read_text()) for f in (folder, trained))
    assert found["generated"] == wanted["generated"]


@pytest.mark.slow
def test_dagan_from_command_to_report(folders, tmp_path):
    folder = tmp_path / "run"
    run("dagan", *flags(folders, "--train.steps", 2, "--train.inner-steps", 1, "--run-dir", folder))
    found = json.loads((folder / "results.json").read_text())
    assert found["step"] == 2 and len(found["generated"]["mIoU"]) == 1
    assert "DAGAN" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_evaluate_measures_again(trained, capsys):
    evaluate.main([str(trained), "--segmenter.steps", "2"])
    assert "mIoU" in capsys.readouterr().err


@pytest.mark.slow
def test_synthesise_writes_an_image_per_label_map(trained, folders, tmp_path):
    maps = ("--labels", str(folders / "labels"), "--instances", str(folders / "instances"))
    style = ("--style", str(folders / "images" / "1.png"))
    for name, more in (("drawn", ()), ("again", ()), ("styled", style)):
        synthesise.main([str(trained), *maps, *more, "--out", str(tmp_path / name)])
    files = sorted((tmp_path / "drawn").iterdir())
    assert len(files) == 20
    for file in files:
        image = np.asarray(Image.open(file))
        assert image.shape == (SIDE, SIDE, 3)
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / "again" / file.name)))


@pytest.mark.slow
def test_synthesise_refuses_what_does_not_fit(trained, folders, tmp_path, monkeypatch, capsys):
    labels = tmp_path / "labels"
    labels.mkdir()
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(labels / "0.png")
    out = ("--out", tmp_path / "out")
    said = lambda *more: said_on_failure(synthesise.main, [trained, *more, *out], monkeypatch, capsys)  # noqa: E731
    assert "--instances" in said("--labels", folders / "labels")
    assert "48 x 48" in said("--labels", labels, "--instances", labels, "--no-resize")
    assert "no such folder" in said("--labels", tmp_path / "nowhere")
    Image.fromarray(np.full((SIDE, SIDE), 77, np.uint8)).save(labels / "0.png")
    assert "77" in said("--labels", labels, "--instances", labels)
    np.savez(tmp_path / "weights.npz", **{"fc.weight": np.zeros((4, 4, 3, 3), np.float32)})
    weights = [tmp_path / "weights.npz", "--labels", folders / "labels", *out]
    assert "does not fit" in said_on_failure(synthesise.main, weights, monkeypatch, capsys)
    assert "--encoder" in said("--labels", labels, "--encoder", "E.pth")
    assert "--data.classes = 9" in said("--labels", labels, "--data.classes", 9)


WEIGHTS_OF = ("--data.classes", "3", "--data.crop-size", str(SIDE), "--data.resize-mode", "resize_and_crop")
NETWORK = GauGANConfig(width=1, hidden=2, discriminator_width=2, vae=True, latent_dim=2, encoder_size=8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """All networks in one file, as `experiments.weights export` writes it."""
    layout = Layout(3, dont_care=False, instances=False, height=SIDE, width=SIDE)
    state = jax.jit(lambda key: init_state(key, NETWORK, layout))(jax.random.key(0))
    file = tmp_path_factory.mktemp("weights") / "all.npz"
    np.savez(file, **export_official(state, NETWORK))
    return file


def from_weights(file, labels, *more):
    """The command on a file of weights."""
    of = ("--model.width", 1, "--model.hidden", 2, "--model.vae", "--model.latent-dim", 2)
    arguments = (file, "--labels", labels, *WEIGHTS_OF, *of, "--model.encoder-size", 8, *more)
    return [str(argument) for argument in arguments]


@pytest.mark.slow
def test_synthesise_takes_what_was_exported(exported, folders, tmp_path):
    """The file holds a discriminator and the encoder of --style too."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for i in range(3):
        Image.fromarray(np.full((SIDE + 9 * i, SIDE), i, np.uint8)).save(labels / f"{i}.png")
    synthesise.main(from_weights(exported, labels, "--out", tmp_path / "out"))
    for file in (tmp_path / "out").iterdir():
        assert np.asarray(Image.open(file)).shape == (SIDE, SIDE, 3)
    style = ("--style", folders / "images" / "1.png")
    synthesise.main(from_weights(exported, labels, *style, "--out", tmp_path / "styled"))
    drawn, styled = (np.asarray(Image.open(tmp_path / out / "0.png")) for out in ("out", "styled"))
    assert drawn.shape == styled.shape == (SIDE, SIDE, 3) and (drawn != styled).any()


@pytest.mark.slow
def test_synthesise_refuses_what_it_would_ignore(exported, folders, tmp_path, monkeypatch, capsys):
    def said(*more):
        arguments = from_weights(exported, folders / "labels", "--out", tmp_path / "out", *more)
        return said_on_failure(synthesise.main, arguments, monkeypatch, capsys)

    assert "--run-seed = 1" in said("--run-seed", 1)
    style = ("--style", folders / "images" / "1.png")
    assert "--seed = 3: is for styles that are drawn" in said(*style, "--seed", 3)
    assert "--data.validation-share = 0.3: is for training" in said("--data.validation-share", 0.3)
    assert "give maps of the classes" in said()  # unknown pixels
    other = tmp_path / "G.ckpt"
    other.write_bytes(b"")
    arguments = [other, "--labels", folders / "labels", "--out", tmp_path / "out", "--data.preset", "coco"]
    assert "an unknown kind of file" in said_on_failure(synthesise.main, arguments, monkeypatch, capsys)


@pytest.mark.slow
def test_corrupted_files_are_counted_and_limited(folders, tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "data"
    shutil.copytree(folders, damaged)
    for i in (3, 4):
        (damaged / "images" / f"{i}.png").write_bytes(b"no image")
    few = ("--train.steps", 6, "--data.max-corrupt", 1, "--run-dir", tmp_path / "few")
    said = said_on_failure(gaugan.main, flags(damaged, *few), monkeypatch, capsys)
    assert "max-corrupt" in said and ("3.png" in said or "4.png" in said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model.kernel", "2"), "--model.kernel"),
        (("--data.crop-size", "40"), "--model.upsampling"),
        (("--train.batch-size", "100"), "--train.batch-size"),
        (("--train.evaluate-every", "1"), "--train.evaluate-every"),
        (("--train.batch-size", "0", "--train.steps", "0"), "--train.batch-size"),
        (("--evaluate.lpips-weights", "x.npz"), "--evaluate.lpips-heads"),
        (("--model.vgg-weights", "nowhere.pth"), "nowhere.pth"),
        (("--data.labels", "nowhere"), "nowhere"),
        (("--model.encoder-size", "48"), "--model.encoder-size"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, words, folders, tmp_path, monkeypatch, capsys):
    more = ("--train.steps", 2, "--run-dir", tmp_path / "run", *arguments)
    assert words in said_on_failure(gaugan.main, flags(folders, *more), monkeypatch, capsys)
    assert not list(tmp_path.glob("run/checkpoints/last/*"))


def test_a_batch_of_one_needs_more_than_one_position():
    """Batch norm has one value where the generator starts from one pixel."""
    layout = Layout(3, dont_care=False, instances=False, height=SIDE, width=SIDE)
    with pytest.raises(UserError, match=r"--train.batch-size = 1: leaves batch norm one value"):
        layout_synthesis.check_batch(NETWORK, 1, layout)
    layout_synthesis.check_batch(NETWORK, 2, layout)
    layout_synthesis.check_batch(replace(NETWORK, norm="instance"), 1, layout)
    layout_synthesis.check_batch(NETWORK, 1, replace(layout, width=2 * SIDE))


def test_dagan_is_gaugan_with_attention():
    for name, preset in dagan.PRESETS.items():
        assert preset.model.generator == "dagan"
        assert cli.settings_of(preset)["train"] == cli.settings_of(gaugan.PRESETS[name])["train"]


@pytest.mark.slow
def test_layout_is_saved_with_the_run(trained):
    layout = layout_synthesis.saved_layout(open_run(trained, "RUN_DIR"))
    assert (layout.classes, layout.dont_care, layout.instances) == (3, True, True)
    assert (layout.height, layout.width, layout.channels) == (SIDE, SIDE, 5)
