"""The same data anywhere have one fingerprint, others another."""

import shutil

import pytest

from train.errors import UserError
from train.fingerprint import check_files, fingerprint, fingerprints


def test_moved_and_copied_data_are_the_same(tmp_path):
    folder = tmp_path / "here"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.csv").write_text("1,2\n")
    moved = shutil.copytree(folder, tmp_path / "there")
    assert fingerprint(folder) == fingerprint(moved) != ""
    assert fingerprint(folder / "in" / "a.csv") == fingerprint(moved / "in" / "a.csv") != ""


@pytest.mark.parametrize("content", ["", "1,3\n", "1,2\n\n"])
def test_changed_data_are_others(tmp_path, content):
    file = tmp_path / "a.csv"
    file.write_text("1,2\n")
    before = fingerprints({"data.path": file, "data.labels": tmp_path / "absent"})
    assert list(before) == ["data.path"]
    check_files(before, {"data.path": file})
    file.write_text(content)
    with pytest.raises(UserError, match=r"--data.path = .* is not what it was when the run began"):
        check_files(before, {"data.path": file})
    check_files({}, {"data.path": file})  # a run of before there were fingerprints


def test_a_folder_with_another_file_is_another(tmp_path):
    before = fingerprint(tmp_path)
    (tmp_path / "a").write_text("")
    assert fingerprint(tmp_path) != before


def test_runs_and_hidden_files_in_a_folder_are_no_data(tmp_path):
    (tmp_path / "a.mat").write_text("1")
    before = fingerprint(tmp_path)
    run = tmp_path / "runs" / "cada_vae_gzsl" / "one"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text("")
    (tmp_path / "._a.mat").write_text("shadow")
    assert fingerprint(tmp_path) == before
