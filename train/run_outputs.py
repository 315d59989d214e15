"""What a run keeps in its folder: refused as a place for anything else, and removed where nothing was trained."""

import contextlib
import shutil
from pathlib import Path

from train.errors import UserError
from train.run_directory import LOCK, RunDirectory


def check_outputs(run: RunDirectory) -> None:
    """Raises UserError where files and folders lie in each other's places: reported before hours of work, not after."""
    for path in (run.figures, run.path / "checkpoints"):
        if path.exists() and not path.is_dir():
            raise UserError("run directory", path, "is not a folder", "move that file away")
    for path in (run.report, run.path / "results.json", run.path / "metrics.jsonl"):
        if path.is_dir():
            raise UserError("run directory", path, "is a folder", "move that folder away")


OWN = {
    *("config.json", "catalogue.json", "layout.json", "results.json", "end.json", "metrics.jsonl"),
    *("report.html", "checkpoints", "figures", "profile", "tensorboard"),
}
"""Names of what a run, or one of its stages, keeps in its folder."""


def refuse_own(out: Path, run: Path, flag: str = "--out") -> None:
    """Raises UserError where what is to be written would take the place of what a run keeps."""
    place, folder = out.expanduser().resolve(), run.expanduser().resolve()
    if place == folder or (place.is_relative_to(folder) and OWN & set(place.relative_to(folder).parts)):
        raise UserError(flag, out, "belongs to the run that is read", "name another place")


_UNTRAINED = (
    *("config.json", "catalogue.json", "layout.json", LOCK, "figures"),
    *("tensorboard/events.out.tfevents.*", "profile/plugins"),
    *("**/metrics.jsonl", "**/checkpoints/*/", "**/checkpoints/"),
)
"""What a run writes before its first checkpoint."""


def remove_untrained(run: RunDirectory) -> None:
    """Removes a run in which nothing was trained: no checkpoint, no line of metrics. Others are left as they are.

    What others put into its folder stays, and so does the folder then, or where it was there before.
    """
    checkpoints = (p for p in run.path.rglob("checkpoints/*/*") if p.name.isdigit())
    logs = (p for p in run.path.rglob("metrics.jsonl") if p.is_file() and p.stat().st_size)
    if next(checkpoints, None) is not None or next(logs, None) is not None:
        return
    for pattern in _UNTRAINED:
        for place in list(run.path.glob(pattern)):
            if not place.is_symlink() and (place.is_dir() or not pattern.endswith("/")):
                _remove(place, below=run.path)
    if run.made:
        with contextlib.suppress(OSError):
            run.path.rmdir()


def _remove(place: Path, below: Path) -> None:
    """Removes a file, what the profiler wrote, or an empty folder; then the folders above that this empties."""
    with contextlib.suppress(OSError):
        if place.is_file():
            place.unlink()
        elif place.name == "plugins":
            shutil.rmtree(place)
        else:
            place.rmdir()
        while place.parent != below:
            place = place.parent
            place.rmdir()
