"""What a run records of where it was made."""

import subprocess

import jax

from train import environment as module
from train.environment import environment


def test_versions_and_devices():
    found = environment()
    assert found["jax"] == jax.__version__ and found["device_count"] == jax.device_count()
    assert found["platform"] == "cpu" and found["process_count"] == 1


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    def fails(*_, **__):
        raise subprocess.SubprocessError

    monkeypatch.setattr(module.subprocess, "run", fails)
    assert environment()["commit"] is None
