"""A run's directory, `runs/<experiment>/<name>/`: who made it with which settings, and where its files lie.

In a program of several processes, process 0 makes, writes and locks, and its failure is raised on all.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.atomic import sweep, write_atomically
from train.environment import environment
from train.errors import UserError
from train.json_files import parse_json, read_json

Json = dict[str, Any]

FORMAT = 1
_LOG = logging.getLogger(__name__)
LOCK = ".lock"
"""The file that a run which trains holds locked."""
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


def _short(path: Path) -> str:
    return ascii(str(path))[1:-1] if len(str(path)) < 200 else f"{ascii(str(path))[1:100]}..."


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that is never seen half written.

    Raises:
      UserError: if it can't be written.
    """
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


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
    if any(entry.name != LOCK for entry in path.iterdir()):
        raise UserError("--run-dir", path, "is not empty", "name an empty or a new directory")


def _lock(path: Path, held: contextlib.ExitStack) -> str:
    """Locks until the stack closes."""
    try:
        file = held.enter_context((path / LOCK).open("a"))
    except IsADirectoryError as error:
        raise UserError("--run-dir", path, f"its {LOCK} is a folder", "remove that folder") from error
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
