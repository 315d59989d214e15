"""Running the experiments as a user does."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from experiments import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax-tests"),
}


def command_line(name, *arguments, few_images=False):
    """`python -m experiments.<name>`; with `few_images` in calls of networks as small as the tests' data."""
    module = ["tests.experiments.few_images", name] if few_images else [f"experiments.{name}"]
    return [sys.executable, "-m", *module, *map(str, arguments)]


def run(name, *arguments, environment=None, check=True, cwd=None, few_images=False):
    """`python -m experiments.<name>` to its end."""
    command = command_line(name, *arguments, few_images=few_images)
    done = subprocess.run(
        command, env=environment or ENVIRONMENT, capture_output=True, text=True, timeout=1500, cwd=cwd
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def start(name, *arguments, few_images=False, **pipes):
    """The same in the background."""
    command = command_line(name, *arguments, few_images=few_images)
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **pipes)


def wait_for(path, process, seconds=900):
    """Until the process has made a file."""
    began = time.monotonic()
    while not path.exists():
        assert process.poll() is None and time.monotonic() - began < seconds, "the run ended or hangs"
        time.sleep(0.05)


def said_on_failure(command, arguments, monkeypatch, capsys):
    """What a command prints when it ends with code 2."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    said = "".join(capsys.readouterr())
    assert stop.value.code == 2 and "Traceback" not in said, said
    return said
