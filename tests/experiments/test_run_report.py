"""What the reports of all experiments share."""

import sys
from pathlib import Path

import pytest

from experiments import run_report
from experiments.run_report import command, directory, of_file, titled


def test_the_command_can_be_typed_again(monkeypatch):
    class Main:
        __spec__ = type("Spec", (), {"name": "experiments.cdae_movielens"})

    monkeypatch.setitem(sys.modules, "__main__", Main)
    monkeypatch.setattr(run_report.sys, "argv", ["/x/cdae_movielens.py", "--seeds", "3"])
    assert command() == "python -m experiments.cdae_movielens --seeds 3"


def test_directories_elsewhere_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert directory(tmp_path / "a" / "b") == "a/b" and directory(Path("/")) == "/"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, "events"),
        (Path("a/log.csv"), "events of log.csv"),
        (Path("ml-20m/"), "events of ml-20m"),
        (Path(), "events of ."),
    ],
)
def test_titles_are_words(path, words):
    assert titled("CDAE", of_file("events", path)) == f"CDAE on {words}"
