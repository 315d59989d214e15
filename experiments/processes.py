"""Several processes that train together, one per host: joining them, and saying which is gone when one dies.

The others notice in one of two ways: a collective operation fails with an exception, or JAX's own watch over the
processes aborts the program from another thread, after HEARTBEAT seconds or, where the first process died, at once.
Exit codes: LOST for the one, 134 (SIGABRT) for the other, with the same line.
"""

import contextlib
import fcntl
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax

from experiments.scribe import lost_line
from experiments.streams import Forgiving
from train.bounds import AtLeast
from train.errors import UserError
from train.run_directory import RunDirectory

LOST = 3
HEARTBEAT = 30
_SIGN = re.compile(
    r"gloo|socket closed|connection (closed|reset|refused)|broken pipe|coordination|heartbeat|barrier|UNAVAILABLE",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class DistributedConfig:
    """Several processes, one per host."""

    coordinator: str = ""
    """Address of the first process as HOST:PORT, or `auto` on a TPU pod; empty for a single process."""
    processes: Annotated[int, AtLeast(1)] = 1
    """Number of processes."""
    process: Annotated[int, AtLeast(0)] = 0
    """Number of this process, from 0."""


class ProcessLostError(Exception):
    """Another process died, and training can't go on without it."""


def join(config: DistributedConfig) -> None:
    """Connects this process to the others, before anything touches a device.

    At the end the others wait for the first process, which evaluates alone, for up to a day.

    Raises:
      UserError: the settings don't fit together, or the others can't be reached.
    """
    if not config.coordinator:
        return
    if not 0 <= config.process < max(config.processes, 1):
        raise UserError(
            "--distributed.process", config.process, f"is not in [0, {config.processes})", "count from 0"
        )
    settings: dict[str, Any] = {
        "shutdown_timeout_seconds": 24 * 3600,
        "heartbeat_timeout_seconds": HEARTBEAT,
    }
    if config.coordinator != "auto":
        host, _, port = config.coordinator.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise UserError(
                "--distributed.coordinator", config.coordinator, "is not an address", "give HOST:PORT or auto"
            )
        settings |= {
            "coordinator_address": config.coordinator,
            "num_processes": config.processes,
            "process_id": config.process,
        }
    scribe = _Scribe()
    try:
        jax.distributed.initialize(**settings)
    except (ValueError, RuntimeError) as error:
        scribe.end()
        remedy = "check that all processes were started and reach that address; `auto` works on pods alone"
        raise UserError(
            "--distributed.coordinator", config.coordinator, str(error).splitlines()[0], remedy
        ) from error


@contextlib.contextmanager
def watched(run: RunDirectory) -> Iterator[None]:
    """Turns what JAX raises when another process died into ProcessLostError, which says which.

    Each process holds a lock in the run's folder, which the system frees when it dies.
    """
    if jax.process_count() == 1:
        yield
        return
    command = f"start all of them again with --resume {shlex.quote(str(run.path))}"
    _Scribe.tell("resume", command)
    with _held(run.path, jax.process_index()) as mine:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            if not _SIGN.search(str(error)):
                raise
            gone = missing(run.path, jax.process_count(), jax.process_index())
            mine.write("left, since another was gone\n")
            mine.flush()
            raise ProcessLostError(lost_line(gone, command)) from error


def missing(folder: Path, count: int, me: int) -> list[int]:
    """The processes that died: their lock is free, and they left no word as those do that follow."""
    gone = []
    for number in range(count):
        path = _lock_path(folder, number)
        if number == me or not path.exists():
            continue
        with path.open("a+") as file, contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            if not file.read():
                gone.append(number)
    return gone


def leave(line: str) -> typing.NoReturn:
    """Ends this process with a line, without the farewell to the others, which would wait for the lost one."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
        sys.stdout.flush()
    _Scribe.tell("done", "")
    os._exit(LOST)


def _lock_path(folder: Path, number: int) -> Path:
    return folder / f".process-{number}"


@contextlib.contextmanager
def _held(folder: Path, number: int) -> Iterator[typing.TextIO]:
    path = _lock_path(folder, number)
    with path.open("w") as file:
        with contextlib.suppress(OSError):  # without locks on that file system nobody is named
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield file
        except ProcessLostError:
            raise
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    path.unlink(missing_ok=True)


class _Scribe:
    """A small process that reads what C++ prints on standard error, and passes on all but the stack of a lost process.

    What Python prints goes where it went before.
    """

    def __init__(self):
        sys.stderr.flush()
        self._kept, self._before = os.dup(2), sys.stderr
        command = [sys.executable, str(Path(__file__).with_name("scribe.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._kept, stderr=subprocess.DEVNULL
        )
        pipe = typing.cast(typing.IO[bytes], self._process.stdin)
        os.dup2(pipe.fileno(), 2)
        pipe.close()
        stream = os.fdopen(self._kept, "w", buffering=1, closefd=False)
        sys.stderr = typing.cast(typing.TextIO, Forgiving(stream))

    @staticmethod
    def tell(word: str, text: str) -> None:
        """A line for the scribe itself."""
        with contextlib.suppress(OSError):
            os.write(2, f"\0{word} {text}\n".encode())

    def end(self) -> None:
        """Standard error as it was, once the scribe has written what it had."""
        sys.stderr = self._before
        os.dup2(self._kept, 2)
        self._process.wait()
