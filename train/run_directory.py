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
import subprocess
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from train.atomic import write_atomically
from train.errors import UserError

Json = dict[str, Any]

FORMAT = 1
_LOG = logging.getLogger(__name__)
_LOCK = ".lock"
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
    """

    path: Path
    experiment: str
    config: Json
    environment: Json
    stage: str = ""

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
            yield


def create_run(
    experiment: str, config: Json, path: Path | None = None, root: Path = Path("runs")
) -> RunDirectory:
    """Makes the directory of a new run and writes its config.json.

    Args:
      experiment: the module under `experiments/`.
      config: the settings, nested dicts that JSON can hold.
      path: where to (`--run-dir`); if None, `root/experiment/` and a new name from the time.
      root: see path.

    Raises:
      UserError: if something is there already, or it can't be written.
    """

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
            }
            write_json(made / "config.json", saved)
        return str(made.resolve())

    return open_run(Path(_on_process_zero(make)), "--run-dir")


def update_config(run: RunDirectory, config: Json) -> RunDirectory:
    """Rewrites the settings of a run that is resumed with permitted changes.

    Raises:
      UserError: if it can't be written.
    """

    def write() -> str:
        saved = json.loads((run.path / "config.json").read_text())
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
    config = path / "config.json"
    if not config.is_file():
        problem = (
            "is not a run directory: it has no config.json" if path.is_dir() else "there is no such directory"
        )
        raise UserError(field, path, problem, "give the directory that the run named when it began")
    try:
        saved = json.loads(config.read_text())
        run = RunDirectory(path.resolve(), saved["experiment"], saved["config"], saved["environment"])
        version = int(saved["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"config.json can't be read ({type(error).__name__}: {error})"
        raise UserError(field, path, problem, "restore that file, or start a new run") from error
    if version > FORMAT:
        problem = f"was written in format {version}, later than this program's {FORMAT}"
        raise UserError(field, path, problem, "use the version of this package that made it")
    return run


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
            f"{name} was {before.get(name, 'absent')} and is now {now.get(name, 'absent')}"
            f" ({'may not change' if name in fixed else 'may change'})"
            for name in changed
        ]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        values = ", ".join(str(now.get(name, "absent")) for name in fixed)
        problem = f"the run to resume has other settings: {'; '.join(told)}"
        free = ", ".join(sorted(changeable)) or "nothing"
        raise UserError(
            flags, values, problem, f"leave these out or start a new run; what may change: {free}"
        )


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
    except OSError as error:
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


def _unwritable(path: Path, error: OSError) -> UserError:
    problem = f"can't be written ({error.strerror or error})"
    return UserError("--run-dir", path, problem, "free space there or choose a --run-dir that can be written")


def _flat(config: Json, prefix: str = "") -> dict[str, Any]:
    """Dotted names to values, the values as JSON would give them back."""
    flat = {}
    for name, value in json.loads(json.dumps(config)).items():
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
    outcome = json.loads(np.asarray(multihost_utils.broadcast_one_to_all(message)).tobytes())
    if "error" in outcome:
        raise UserError(*outcome["error"])
    return outcome["value"]
