"""Two processes on loopback train like one."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.experiments import test_cada_vae_gzsl as zero_shot
from tests.experiments.commands import ENVIRONMENT, run
from tests.experiments.test_gwae_3dshapes import TINY

IMAGES = (*TINY, "--evaluate.votes", 0, "--evaluate.no-baselines")
VAE = ("--model.objective", "vae", "--model.batch-norm")
GWAE = ("--model.critic-steps", "1")


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return np.asarray([line["loss"] for line in lines if "loss" in line])


def compare(name, settings, rtol, tmp_path):
    run(name, *settings, "--run-dir", tmp_path / "one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--distributed.coordinator", f"127.0.0.1:{port}", "--distributed.processes", "2")
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, settings), *flags]
    command += ["--run-dir", str(tmp_path / "two")]
    processes = [
        subprocess.Popen(
            [*command, "--distributed.process", str(i)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    for process in processes:
        _, said = process.communicate(timeout=1500)
        assert process.returncode == 0, said
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=rtol)
    assert (tmp_path / "two" / "report.html").is_file()


@pytest.mark.slow
def test_vae_with_batch_norm(small_images, tmp_path):
    compare("gwae_3dshapes", (*IMAGES, *small_images, *VAE, "--train.steps", 3), 1e-5, tmp_path)


@pytest.mark.slow
def test_gwae_twenty_steps(small_images, tmp_path):
    compare("gwae_3dshapes", (*IMAGES, *small_images, *GWAE, "--train.steps", 20), 1e-4, tmp_path)


@pytest.mark.slow
def test_cada_vae_with_its_two_stages(tmp_path):
    np.savez(tmp_path / "small.npz", **zero_shot.benchmark())
    data = ("--data.source", "npz", "--data.path", tmp_path / "small.npz")
    compare("cada_vae_gzsl", (*zero_shot.TINY, *data), 1e-5, tmp_path)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one["settings"] == two["settings"]
