"""A run's directory, `runs/<experiment>/<name>/`: who made it with which settings, and where its files lie.

In a program of several processes, process 0 makes, writes and locks, and its failure is raised on all.
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.atomic import sweep, write_atomically
from train.errors import UserError
from train.json_files import parse_json, read_json

Json = dict[str, Any]

FORMAT = 1
_LOG = logging.getLogger(__name__)
_LOCK = ".lock"
_NAMED = "give the directory that the run named when it began"
_KINDS = {int: "a number", str: "text", dict: "an object"}
_MESSAGE = 16384  # bytes that processes exchange: four times the longest path


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """A run on disk, made by `create_run` or found by `open_run`.

    Attributes:
      path: its absolute path.
      experiment: the module under `experiments/` that made it.
      config: its settings, as JSON holds them (tuples are lists).
      environment: versions, devices and commit it was made with.
      stage: the folder in it that metrics and checkpoints of one of several trainings go to; "" for the run itself.
      files: fingerprints of the files and folders that it read, by the setting that names them.
      made: whether this program made the folder; one that was there before outlives a run that fails.
    """

    path: Path
    experiment: str
    config: Json
    environment: Json
    stage: str = ""
    files: Json = dataclasses.field(default_factory=dict)
    made: bool = dataclasses.field(default=False, compare=False)

    @property
    def metrics(self) -> Path:
        """The log of `train.metrics_log`."""
        return self.path / self.stage / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the folders `last` and `best`."""
        return self.path / self.stage / "checkpoints"

    def in_stage(self, stage: str) -> "RunDirectory":
        """This run with metrics and checkpoints in a folder of their own, for a run that trains more than once."""
        return dataclasses.replace(self, stage=stage)

    @property
    def figures(self) -> Path:
        """The folder of PNG files."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """The report, one self-contained page."""
        return self.path / "report.html"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training here; the system unlocks even after a kill -9.

        Raises:
          UserError: if another process trains here.
        """
        with contextlib.ExitStack() as held:
            _on_process_zero(lambda: _lock(self.path, held))
            if jax.process_index() == 0:
                sweep(self.path)
            yield


def create_run(
    experiment: str,
    config: Json,
    path: Path | None = None,
    root: Path = Path("runs"),
    *,
    files: Json | None = None,
) -> RunDirectory:
    """Makes the directory of a new run and writes its config.json.

    Args:
      experiment: the module under `experiments/`.
      config: the settings, nested dicts that JSON can hold.
      path: where to (`--run-dir`); if None, `root/experiment/` and a new name from the time.
      root: see path.
      files: fingerprints of what it reads.

    Raises:
      UserError: if something is there already, or it can't be written.
    """

    was_there = False
    with contextlib.suppress(OSError):  # a name that is too long
        was_there = path is not None and path.is_dir()

    def make() -> str:
        made = _new_path(root / experiment) if path is None else _made(path)
        with contextlib.ExitStack() as held:
            _lock(made, held)  # so that of two programs given one --run-dir, one stops here
            _check_vacant(made)
            saved = {
                "format": FORMAT,
                "experiment": experiment,
                "config": config,
                "environment": environment(),
                "files": files or {},
            }
            write_json(made / "config.json", saved)
        return str(made.resolve())

    return dataclasses.replace(open_run(Path(_on_process_zero(make)), "--run-dir"), made=not was_there)


def update_config(run: RunDirectory, config: Json) -> RunDirectory:
    """Rewrites the settings of a run that is resumed with permitted changes.

    Raises:
      UserError: if it can't be written.
    """

    def write() -> str:
        saved = _saved(run.path, "--resume")
        write_json(run.path / "config.json", saved | {"config": config})
        return ""

    _on_process_zero(write)
    return dataclasses.replace(run, config=config)


def open_run(path: Path, field: str = "--resume") -> RunDirectory:
    """Reads back an existing run.

    Args:
      path: its directory.
      field: what the user calls it, for the error.

    Raises:
      UserError: if there is no run, or its config.json is damaged or of a later format.
    """
    saved = _saved(path, field)
    version, files = saved["format"], saved.get("files", {})
    run = RunDirectory(
        path.resolve(), saved["experiment"], saved["config"], saved["environment"], files=files
    )
    if version > FORMAT:
        problem = f"was written in format {version}, later than this program's {FORMAT}"
        raise UserError(field, path, problem, "use the version of this package that made it")
    return run


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
    *("config.json", "catalogue.json", "layout.json", _LOCK, "figures"),
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


def _saved(path: Path, field: str) -> Json:
    """The content of a run's config.json, of the types that it has to have."""
    config = path / "config.json"
    try:
        there, is_folder = config.is_file(), path.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise UserError(field, _short(path), f"can't be read ({error.strerror})", _NAMED) from error
    if not there:
        problem = (
            "is not a run directory: it has no config.json" if is_folder else "there is no such directory"
        )
        problem = "its config.json is a folder" if config.is_dir() else problem
        raise UserError(field, _short(path), problem, _NAMED)
    saved = read_json(config, field, "restore that file, or start a new run")
    wanted = {"format": int, "experiment": str, "config": dict, "environment": dict}
    for name, kind in wanted.items():
        given = saved.get(name) if isinstance(saved, dict) else None
        if not isinstance(given, kind) or isinstance(given, bool):
            problem = f"config.json can't be read: its {name!r} is not {_KINDS[kind]}"
            raise UserError(field, path, problem, "restore that file, or start a new run")
    if not isinstance(saved.get("files", {}), dict):
        saved["files"] = {}
    return saved


def check_resume(saved: Json, wanted: Json, changeable: Collection[str]) -> None:
    """Compares the settings of a run with those it is to be resumed with.

    Args:
      saved: the run's settings.
      wanted: those asked for now.
      changeable: dotted names, of fields or groups of fields, that may change (`train.steps`).

    Raises:
      UserError: if others have changed; it tells each change, which of them may be, and which not.
    """
    before, now = _flat(saved), _flat(wanted)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    fixed = [name for name in changed if not any(f"{name}.".startswith(f"{c}.") for c in changeable)]
    if fixed:
        told = [
            f"{name} was {_brief(before.get(name, 'absent'))} and is now {_brief(now.get(name, 'absent'))}"
            f" ({'may not change' if name in fixed else 'may change'})"
            for name in changed
        ]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        values = ", ".join(_brief(now.get(name, "absent")) for name in fixed)
        problem = f"the run to resume has other settings: {'; '.join(told)}"
        free = ", ".join(sorted(changeable)) or "nothing"
        raise UserError(
            flags, values, problem, f"leave these out or start a new run; what may change: {free}"
        )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _short(path: Path) -> str:
    return ascii(str(path))[1:-1] if len(str(path)) < 200 else f"{ascii(str(path))[1:100]}..."


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that is never seen half written.

    Raises:
      UserError: if it can't be written.
    """
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def environment() -> Json:
    """What a number may depend on: versions, devices, commit of the checkout (None outside one)."""
    versions = {
        name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")
    }
    return {
        "python": platform.python_version(),
        **versions,
        "platform": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "commit": _commit(),
    }


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _new_path(parent: Path) -> Path:
    """A directory that this call made, so that two programs of the same second differ."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in (stamp, *(f"{stamp}-{i}" for i in range(2, 1000))):
        with contextlib.suppress(FileExistsError):
            return _made(parent / name, exist_ok=False)
    raise UserError(
        "--run-dir", parent / stamp, "too many runs began in this second", "name one with --run-dir"
    )


def _made(path: Path, exist_ok: bool = True) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except (OSError, ValueError) as error:  # a zero byte, half a character
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise _unwritable(path, error) from error
    return path


def _check_vacant(path: Path) -> None:
    if (path / "config.json").exists():
        raise UserError(
            "--run-dir", path, "holds a run already", f"continue it with --resume {path}, or name another"
        )
    if any(entry.name != _LOCK for entry in path.iterdir()):
        raise UserError("--run-dir", path, "is not empty", "name an empty or a new directory")


def _lock(path: Path, held: contextlib.ExitStack) -> str:
    """Locks until the stack closes."""
    try:
        file = held.enter_context((path / _LOCK).open("a"))
    except IsADirectoryError as error:
        raise UserError("--run-dir", path, f"its {_LOCK} is a folder", "remove that folder") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        remedy = "wait for it, stop it, or choose another directory"
        raise UserError("--run-dir", path, "another process is training here", remedy) from None
    except OSError as error:  # some network file systems have no locks; a run there is better than none
        _LOG.warning("%s can't be locked (%s): don't start a second run in it", path, error.strerror)
    return str(path)


def _unwritable(path: Path, error: OSError | ValueError) -> UserError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return UserError("--run-dir", _short(path), "is a file, or lies in one", "name another folder")
    problem = f"can't be written ({getattr(error, 'strerror', None) or error})"
    return UserError(
        "--run-dir", _short(path), problem, "free space there or choose a --run-dir that can be written"
    )


def _flat(config: Json, prefix: str = "") -> dict[str, Any]:
    """Dotted names to values, the values as JSON would give them back."""
    flat = {}
    for name, value in parse_json(json.dumps(config)).items():
        nested = isinstance(value, dict) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _on_process_zero(action: Callable[[], str]) -> str:
    """What the action returns on process 0, or the UserError that it raises there, on every process."""
    if jax.process_count() == 1:
        return action()
    outcome: Json = {}
    if jax.process_index() == 0:
        try:
            outcome = {"value": action()}
        except UserError as error:
            outcome = {"error": [error.field, str(error.value), error.problem, error.remedy]}
    message = np.frombuffer(json.dumps(outcome).encode().ljust(_MESSAGE), np.uint8)
    outcome = parse_json(np.asarray(multihost_utils.broadcast_one_to_all(message)).tobytes())
    if "error" in outcome:
        raise UserError(*outcome["error"])
    return outcome["value"]
