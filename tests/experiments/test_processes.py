"""Two processes on loopback train like one, and one whose other is killed says so."""

import fcntl
import json
import signal
import socket
import subprocess

import numpy as np
import pytest

from experiments.processes import LOST, DistributedConfig, join, missing
from tests.experiments import test_cada_vae_gzsl as zero_shot
from tests.experiments.commands import ENVIRONMENT, command_line, run, wait_for
from tests.experiments.test_gwae_3dshapes import TINY
from train.errors import UserError

IMAGES = (*TINY, "--evaluate.votes", 0, "--evaluate.no-baselines")
VAE = ("--model.objective", "vae", "--model.batch-norm")
GWAE = ("--model.critic-steps", "1")


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return np.asarray([line["loss"] for line in lines if "loss" in line])


def start_two(name, settings, folder, few_images=False, **pipes):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--distributed.coordinator", f"127.0.0.1:{port}", "--distributed.processes", "2")
    command = command_line(name, *settings, *flags, "--run-dir", folder, few_images=few_images)
    return [
        subprocess.Popen(
            [*command, "--distributed.process", str(i)],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
            **pipes,
        )
        for i in range(2)
    ]


def compare(name, settings, rtol, tmp_path, few_images=False):
    run(name, *settings, "--run-dir", tmp_path / "one", few_images=few_images)
    processes = start_two(name, settings, tmp_path / "two", few_images)
    for process in processes:
        _, said = process.communicate(timeout=1500)
        assert process.returncode == 0, said
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=rtol)
    assert (tmp_path / "two" / "report.html").is_file()


@pytest.mark.slow
def test_vae_with_batch_norm(small_images, tmp_path):
    compare(
        "gwae_3dshapes", (*IMAGES, *small_images, *VAE, "--train.steps", 3), 1e-5, tmp_path, few_images=True
    )


@pytest.mark.slow
def test_gwae_six_steps(small_images, tmp_path):
    settings = (*IMAGES, *small_images, *GWAE, "--train.steps", 6)
    compare("gwae_3dshapes", settings, 1e-4, tmp_path, few_images=True)


@pytest.mark.slow
def test_cada_vae_with_its_two_stages(tmp_path):
    np.savez(tmp_path / "small.npz", **zero_shot.benchmark())
    data = ("--data.source", "npz", "--data.path", tmp_path / "small.npz")
    compare("cada_vae_gzsl", (*zero_shot.TINY, *zero_shot.ONE_COUNT, *data), 1e-5, tmp_path)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one["settings"] == two["settings"]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_the_other_says_which_process_was_killed(killed, tmp_path):
    settings = (
        *("--data.users", 300, "--data.items", 60, "--data.held-out-users", 30),
        "--models",
        "dae",
        "--epochs",
        5000,
        "--train.batch-size",
        100,
        "--train.checkpoint-every",
        50,
    )
    processes = start_two("multvae_movielens", settings, tmp_path / "run", stdout=subprocess.DEVNULL)
    wait_for(tmp_path / "run" / "dae" / "checkpoints" / "last" / "50", processes[0])
    processes[killed].kill()
    _, said = processes[1 - killed].communicate(timeout=60)
    processes[killed].communicate(timeout=60)
    assert f"error: process {killed} is gone" in said and f"--resume {tmp_path / 'run'}" in said
    assert "0x" not in said and "Gloo" not in said.split("error:")[1] and "Traceback" not in said
    assert processes[1 - killed].returncode in (LOST, -signal.SIGABRT)


@pytest.mark.parametrize("value", ["host", "host:", ":1", "host:99999", "host:1x", "host:²"])
def test_what_is_no_address_is_refused(value):
    with pytest.raises(UserError, match="is not an address"):
        join(DistributedConfig(coordinator=value))


def test_a_number_beyond_the_processes_is_refused():
    with pytest.raises(UserError, match="count from 0"):
        join(DistributedConfig(coordinator="host:1", processes=2, process=2))


def test_the_lost_are_those_whose_lock_is_free_and_who_left_no_word(tmp_path):
    def path(number):
        return tmp_path / f".process-{number}"

    with path(2).open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        path(1).write_text("")
        path(3).write_text("left, since another was gone\n")
        assert missing(tmp_path, 5, me=0) == [1]
