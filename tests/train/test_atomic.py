"""Files are whole or as they were before."""

import os
import pathlib
import subprocess
import sys

import pytest

from train.atomic import refuse_input, sweep, write_atomically
from train.errors import UserError


def test_writes_and_overwrites_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "file.bin"
    assert write_atomically(path, b"first") == path
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="can't be written"):
        write_atomically(tmp_path, b"x")
    assert list(tmp_path.parent.glob(".*.tmp")) == []


def test_a_failing_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "file", b"old")

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_file_where_a_folder_should_be_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        write_atomically(tmp_path / "file" / "below", b"x")


def test_a_name_that_can_not_be_is_a_user_error(tmp_path):
    for name in ("a\0b", "x" * 300):
        with pytest.raises(UserError, match="can't be written"):
            write_atomically(tmp_path / name, b"x")


def test_what_a_killed_writer_left_is_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / "figures" / f".a.png.{dead.pid}.tmp"
    others = tmp_path / f".b.json.{os.getppid()}.tmp", tmp_path / ".mine.tmp", tmp_path / "c.1.tmp"
    for path in (left, *others):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    sweep(tmp_path)
    assert not left.exists() and all(path.exists() for path in others)


def test_an_output_that_is_an_input_is_refused(tmp_path):
    given = tmp_path / "in/a.csv"
    given.parent.mkdir()
    given.write_text("x")
    (tmp_path / "symbolic.csv").symlink_to(given)
    (tmp_path / "hard.csv").hardlink_to(given)
    for out in (given, tmp_path / "symbolic.csv", tmp_path / "hard.csv", tmp_path / "in/../in/a.csv"):
        with pytest.raises(UserError, match="--out"):
            refuse_input(out, [given])
    with pytest.raises(UserError, match="--out"):
        refuse_input(tmp_path / "in/new.npz", [given.parent])
    refuse_input(tmp_path / "new.csv", [given, given.parent])
