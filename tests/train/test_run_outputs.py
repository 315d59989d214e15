"""What a run keeps: never written over, and removed alone where nothing was trained."""

from pathlib import Path

import pytest

from train.errors import UserError
from train.run_directory import RunDirectory, create_run, open_run
from train.run_outputs import check_outputs, refuse_own, remove_untrained


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create_run("gwae_3dshapes", {}, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("figures", False),
        ("checkpoints", False),
        ("report.html", True),
        ("results.json", True),
        ("metrics.jsonl", True),
    ],
)
def test_files_and_folders_in_each_others_places_are_told(run: RunDirectory, name: str, folder: bool):
    check_outputs(run)
    place = run.path / name
    place.mkdir() if folder else place.write_text("")
    with pytest.raises(UserError, match=rf"{name}: is .*folder; move that"):
        check_outputs(run)


def test_a_run_in_which_nothing_was_trained_is_removed(tmp_path: Path):
    run = create_run("e", {}, tmp_path / "run")
    (run.checkpoints / "last").mkdir(parents=True)
    run.metrics.write_text("")
    for name in ("a/b/metrics.jsonl", "tensorboard/events.out.tfevents.1", "profile/plugins/profile/1/x.pb"):
        (run.path / name).parent.mkdir(parents=True)
        (run.path / name).write_text("")
    (run.path / "a" / "b" / "checkpoints" / "best").mkdir(parents=True)
    remove_untrained(run)
    assert not run.path.exists()


def test_a_folder_that_was_there_before_stays_empty_and_so_does_what_a_link_leads_to(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for name in ("there", "link"):
        run = create_run("e", {}, tmp_path / name)
        run.checkpoints.mkdir()
        with run.locked():
            remove_untrained(run)
        assert not any((tmp_path / "there").iterdir()) and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "figures/mine.png", "checkpoints/mine", "data/config.json", "profile/x/y", ".lock/x"],
)
def test_what_others_put_into_a_run_stays(tmp_path: Path, name: str):
    run = create_run("e", {}, tmp_path / "run")
    (run.path / ".lock").unlink()
    (run.path / name).parent.mkdir(parents=True, exist_ok=True)
    (run.path / name).write_text("mine")
    remove_untrained(run)
    assert [p for p in run.path.rglob("*") if p.is_file()] == [run.path / name]


@pytest.mark.parametrize("place", ["metrics.jsonl", "stage/metrics.jsonl", "stage/checkpoints/last/5/x"])
def test_a_run_in_which_something_was_trained_stays(run: RunDirectory, place: str):
    (run.path / place).parent.mkdir(parents=True, exist_ok=True)
    (run.path / place).write_text("x")
    remove_untrained(run)
    assert (run.path / place).read_text() == "x" and open_run(run.path) == run


@pytest.mark.parametrize(
    "name", [".", "config.json", "vae/metrics.jsonl", "vae/checkpoints/last/3", "figures/a.png"]
)
def test_an_output_never_takes_the_place_of_what_a_run_keeps(tmp_path, name):
    with pytest.raises(UserError, match=r"--out = .*belongs to the run"):
        refuse_own(tmp_path / name, tmp_path)
    refuse_own(tmp_path / "samples", tmp_path)
    refuse_own(tmp_path.parent / "config.json", tmp_path)
