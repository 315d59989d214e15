"""Whether files are still the ones that a run was made with: cheap, and the same wherever they lie."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from train.errors import UserError

_ENDS = 2**20
_MOST_FILES = 100_000


def fingerprint(path: Path) -> str:
    """For a file its size, and its first and last MB; for a folder the names and sizes of its files; else empty."""
    try:
        if path.is_file():
            return _of_file(path)
        if path.is_dir():
            return _of_folder(path)
    except (OSError, ValueError):  # that is for its reader to say
        return ""
    return ""


def fingerprints(paths: Mapping[str, Path]) -> dict[str, str]:
    """The fingerprint of each path that exists, by the name of its setting."""
    return {name: found for name, path in paths.items() if (found := fingerprint(path.expanduser()))}


def check_files(before: Mapping[str, str], paths: Mapping[str, Path]) -> None:
    """Raises UserError where a setting names other files than those that a run was made with."""
    for name, found in fingerprints(paths).items():
        if before.get(name, found) != found:
            flag = f"--{name.replace('_', '-')}"
            problem = "is not what it was when the run began"
            raise UserError(flag, paths[name], problem, "name the same data, or start a new run")


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        facts = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        facts.update(file.read(_ENDS))
    return f"{size}-{facts.hexdigest()[:16]}"


def _of_folder(path: Path) -> str:
    """Runs that lie in it are not data, nor is what a file system or a tool hides there."""
    files = []
    for place, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not (name.startswith(".") or _is_run(Path(place, name)))]
        for name in names:
            file = Path(place, name)
            if not name.startswith(".") and file.is_file():
                files.append((file.relative_to(path).as_posix(), file.stat().st_size))
        if len(files) > _MOST_FILES:
            return f"over {_MOST_FILES} files"
    return f"{len(files)}-{hashlib.sha256(repr(sorted(files)).encode()).hexdigest()[:16]}"


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()
