"""The numbers of a run over time: one JSON object a line, or TensorBoard's events.

A line is `{"step": 100, "loss": 0.5, "psnr": [17.9, 18.2]}`: a number, or one for each seed. Numbers that
JSON lacks are the strings "NaN", "Infinity" and "-Infinity", which `float` reads.
"""

import contextlib
import errno
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from train.atomic import write_atomically
from train.errors import UserError

Metrics = Mapping[str, ArrayLike]
Series = tuple[Int[np.ndarray, " steps"], Float[np.ndarray, "steps *seeds"]]


class Writer(Protocol):
    """What the loop hands its numbers to; in a program of several processes only process 0 has one."""

    def write(self, step: int, metrics: Metrics) -> None:
        """Keeps the metrics of one step, none named `step`: each a number, or a vector over seeds."""
        ...

    def close(self) -> None:
        """Completes what was written."""
        ...


class MetricsLog:
    """Appends to a file, one line a step, each in the file before `write` returns.

    Args:
      path: the file.
      resumed_at: the step that training continues from; later lines and half-written ones are dropped. A
        new run (-1) drops all.

    Raises:
      UserError: if the file can't be written, here or in `write`.
    """

    def __init__(self, path: Path, resumed_at: int = -1):
        self._path = path
        kept = [line for step, line in _lines(path) if step <= resumed_at]
        write_atomically(path, "".join(kept).encode())
        self._file = path.open("ab", buffering=0)

    def write(self, step: int, metrics: Metrics) -> None:
        """Appends a line."""
        values = {name: _encoded(np.asarray(value).tolist()) for name, value in metrics.items()}
        line = json.dumps({"step": int(step), **values}, allow_nan=False).encode() + b"\n"
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            problem = f"can't be written ({error.strerror})"
            raise UserError(
                "metrics log", self._path, problem, "free space there, then --resume the run"
            ) from error

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(path: Path) -> dict[str, Series]:
    """Reads a log back; a half-written last line is passed over, and a log that isn't there is empty.

    Returns:
      For each name the steps it was written at, [T], and its values, float64, [T] or with seeds [T, S].
    """
    series: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for step, line in _lines(path):
        for name, value in json.loads(line).items():
            if name != "step":
                series[name].append((step, _decoded(value)))
    return {
        name: (np.array([step for step, _ in points]), np.array([value for _, value in points], np.float64))
        for name, points in series.items()
    }


def tensorboard_writer(directory: Path, resumed_at: int = -1) -> Writer:
    """A writer of TensorBoard events; with several seeds, each is a tag of its own (`loss/seed0`).

    Args:
      directory: where to.
      resumed_at: the step that training continues from; TensorBoard hides what is later.

    Raises:
      UserError: if tensorboardX, an optional dependency, isn't installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        remedy = "pip install '.[tensorboard]', or leave the flag out"
        raise UserError("--tensorboard", True, "tensorboardX is not installed", remedy) from error
    return _TensorBoard(SummaryWriter(str(directory), purge_step=resumed_at + 1))


class _TensorBoard:
    def __init__(self, events: Any):
        self._events = events

    def write(self, step: int, metrics: Metrics) -> None:
        for name, value in metrics.items():
            for seed, number in enumerate(np.atleast_1d(np.asarray(value))):
                tag = f"{name}/seed{seed}" if np.ndim(value) else name
                self._events.add_scalar(tag, float(number), step)
        self._events.flush()

    def close(self) -> None:
        self._events.close()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The step and the text of each whole line."""
    if not path.exists():
        return
    with path.open(errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, KeyError):  # what a kill or a full disk cut off
                if line.endswith("\n"):
                    yield json.loads(line)["step"], line


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(v) for v in value]
    return value if math.isfinite(value) else json.dumps(value)


def _decoded(value: Any) -> Any:
    return [float(v) for v in value] if isinstance(value, list) else float(value)
