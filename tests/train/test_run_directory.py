"""Run directories: never overwritten, never shared, and clear about what is wrong with them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from train.errors import UserError
from train.run_directory import (
    RunDirectory,
    create_run,
    open_run,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"train": {"batch_size": 64, "steps": 100, "betas": (0.0, 0.9)}, "model": {"latent_dim": 10}}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create_run("gwae_3dshapes", CONFIG, tmp_path / "run")


def test_what_is_created_is_read_back(run: RunDirectory):
    assert open_run(run.path) == run
    assert run.experiment == "gwae_3dshapes"
    assert run.config == {**CONFIG, "train": {**CONFIG["train"], "betas": [0.0, 0.9]}}
    assert {"python", "jax", "jaxlib", "flax", "platform", "device_kind", "commit"} <= set(run.environment)
    assert run.environment["device_count"] == 8
    assert {p.parent for p in (run.metrics, run.checkpoints, run.figures, run.report)} == {run.path}


def test_a_stage_has_metrics_and_checkpoints_of_its_own(run: RunDirectory):
    stage = run.in_stage("selection")
    assert stage.metrics == run.path / "selection" / "metrics.jsonl" != run.metrics
    assert stage.checkpoints == run.path / "selection" / "checkpoints"
    assert stage.report == run.report and stage.path == run.path


def test_names_are_from_the_time_and_unique(tmp_path: Path):
    paths = [create_run("e", {}, root=tmp_path).path for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(p.parent == tmp_path / "e" and re.fullmatch(r"\d{8}-\d{6}(-\d)?", p.name) for p in paths)


def test_a_relative_directory_survives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert create_run("e", {}, Path("here")).path == tmp_path / "here"


def test_an_existing_run_is_not_overwritten(run: RunDirectory):
    with pytest.raises(UserError, match=f"holds a run already; continue it with --resume {run.path}"):
        create_run("gwae_3dshapes", {}, run.path)
    assert open_run(run.path) == run


def test_a_directory_with_other_things_is_refused(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        create_run("e", {}, tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "is not a run directory: it has no config.json"),
        ("{", r"can't be read \(Expecting"),
        ('{"a":' * 100_000, r"can't be read \(nested too deeply"),
        (b"\x89PNG\r\n\x1a\n\0", r"can't be read"),
        ("[]", "its 'format' is not a number"),
        ("{}", "its 'format' is not a number"),
        ('{"format": 1, "experiment": [], "config": {}, "environment": {}}', "its 'experiment' is not text"),
        (
            '{"format": 1, "experiment": "e", "config": [], "environment": {}}',
            "its 'config' is not an object",
        ),
        (
            '{"format": true, "experiment": "e", "config": {}, "environment": {}}',
            "its 'format' is not a number",
        ),
        ('{"format": 2, "experiment": "e", "config": {}, "environment": {}}', "later than this program's 1"),
    ],
)
def test_what_is_no_run_is_told(tmp_path: Path, content: str | bytes | None, told: str):
    if content is not None:
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=f"^--resume = {tmp_path}(/config.json)?: .*{told}") as error:
        open_run(tmp_path)
    assert len(str(error.value)) < 400


def test_no_such_run(tmp_path: Path):
    with pytest.raises(UserError, match=f"^RUN_DIR = {tmp_path}/none: there is no such directory"):
        open_run(tmp_path / "none", "RUN_DIR")


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_place_that_cannot_be_written(tmp_path: Path, path: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--run-dir = .*is a file, or lies in one; name another folder"):
        create_run("e", {}, tmp_path / path)
    with pytest.raises(UserError, match="--run-dir"):
        create_run("e", {}, root=tmp_path / path)


def test_write_json_replaces_whole(tmp_path: Path):
    for content in ({"a": 1}, {"a": [1.5, None]}):
        write_json(tmp_path / "x.json", content)
        assert json.loads((tmp_path / "x.json").read_text()) == content
    assert list(tmp_path.iterdir()) == [tmp_path / "x.json"]


# The lock

HOLD = """
import pathlib, sys
from train.run_directory import open_run
with open_run(pathlib.Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_the_lock_keeps_others_out_and_ends_with_a_kill(run: RunDirectory):
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(UserError, match=f"^--run-dir = {run.path}: another process is training"),
            run.locked(),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with run.locked():
        pass
    with run.locked():
        pass


def test_processes_make_one_run_and_fail_together(tmp_path: Path):
    program = """
import pathlib, sys
import jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from train.errors import UserError
from train.run_directory import create_run
run = create_run("e", {"a": 1}, root=pathlib.Path(sys.argv[3]))
with run.locked():
    print(run.path)
try:
    create_run("e", {}, run.path)
except UserError as error:
    print(error.problem)
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"127.0.0.1:{port}", str(i), str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]
    told = []
    for process in processes:
        out, error = process.communicate(timeout=900)
        assert process.returncode == 0, error
        told.append(out.splitlines()[-2:])  # Gloo greets on stdout
    (made,) = (tmp_path / "e").iterdir()
    assert told == [[str(made), "holds a run already"]] * 2


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file", "file/below", "\ud800"])
def test_places_that_no_run_can_have(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--run-dir = ") as error:
        create_run("e", {}, tmp_path / name)
    assert len(str(error.value)) < 400
    with pytest.raises(UserError, match=r"^--resume = ") as error:
        open_run(tmp_path / name)
    assert len(str(error.value)) < 400


def test_fingerprints_are_kept(tmp_path: Path):
    run = create_run("e", {}, tmp_path / "run", files={"data.path": "3-abc"})
    assert open_run(run.path).files == {"data.path": "3-abc"}
