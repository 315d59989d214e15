"""The numbers of a run over time: one JSON object per line, or TensorBoard's events.

A line is `{"step": 100, "loss": 0.5, "psnr": [17.9, 18.2]}`: a number, or one for each seed. Numbers that
JSON lacks are the strings "NaN", "Infinity" and "-Infinity", which `float` reads.
"""

import errno
import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from train.atomic import write_atomically
from train.errors import UserError
from train.json_files import parse_json

_LOG = logging.getLogger(__name__)
_NO_JSON_NUMBERS = ("NaN", "Infinity", "-Infinity")
Metrics = Mapping[str, ArrayLike]
Series = tuple[Int[np.ndarray, " steps"], Float[np.ndarray, "steps *seeds"]]


class Writer(Protocol):
    """What the loop gives its numbers to; in a program of several processes only process 0 has one."""

    def write(self, step: int, metrics: Metrics) -> None:
        """Keeps the metrics of one step, none named `step`: each a number, or a vector over seeds."""
        ...

    def close(self) -> None:
        """Completes what was written."""
        ...


class MetricsLog:
    """Appends to a file, one line per step, each in the file before `write` returns.

    Args:
      path: the file.
      resumed_at: the step that training continues from; later lines and half-written ones are dropped. A
        new run (-1) drops all.

    Raises:
      UserError: if the file can't be written, here or in `write`.
    """

    def __init__(self, path: Path, resumed_at: int = -1):
        self._path = path
        lines = _lines(path)
        good = [i for i, line in enumerate(lines) if line.values is not None and line.step <= resumed_at]
        # Between good lines bad ones stay as they are: someone may mend them.
        before = lines[: good[-1] + 1] if good else []
        kept = [line.text for line in before if line.values is None or line.step <= resumed_at]
        write_atomically(path, b"".join(kept))
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

    Lines that were never written by `MetricsLog` are named in a warning and passed over.

    Returns:
      For each name the steps it was written at, [T], and its values, float64, [T] or with seeds [T, S].
    """
    series: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for line in _lines(path):
        for name, value in (line.values or {}).items():
            series[name].append((line.step, value))
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


class _Line(NamedTuple):
    """`values` is None for a line that does not belong in a log."""

    text: bytes
    step: int
    values: dict[str, list[float] | float] | None


def _lines(path: Path) -> list[_Line]:
    """The whole lines of a log; those that do not belong in one are named in a warning."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
        raise UserError("metrics log", path, problem, "move what is there out of the way") from error
    found: list[_Line] = []
    bad: list[tuple[int, str]] = []
    whole = content.split(b"\n")[:-1]  # the last piece is what a kill or a full disk cut off, or nothing
    for number, text in enumerate(whole, 1):
        try:
            found.append(_parsed(text + b"\n"))
        except ValueError as error:
            bad.append((number, str(error)[:80]))
            found.append(_Line(text + b"\n", -1, None))
    usual = _usual_seeds(found)
    for i, line in enumerate(found):
        strange = next((name for name, n in _seeds(line).items() if usual[name] != n), None)
        if strange is not None:
            bad.append((i + 1, f"{strange[:40]!r} is of another number of seeds than elsewhere"))
            found[i] = line._replace(values=None)
    if bad:
        bad.sort()
        number, reason = bad[0]
        told = "1 line is" if len(bad) == 1 else f"{len(bad)} lines are"
        _LOG.warning("%s: %s passed over, first line %d (%s)", path, told, number, reason)
    return found


def _parsed(text: bytes) -> _Line:
    """Raises ValueError for what `write` never wrote."""
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    step = content.pop("step", None)
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
        raise ValueError("its step is not the number of an update")
    return _Line(text, step, {name: _decoded(value) for name, value in content.items()})


def _seeds(line: _Line) -> dict[str, int]:
    """How many values each metric of a line has; -1 stands for a plain number."""
    return {
        name: len(value) if isinstance(value, list) else -1 for name, value in (line.values or {}).items()
    }


def _usual_seeds(lines: list[_Line]) -> dict[str, int]:
    """The number of seeds that each metric has in most lines."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for line in lines:
        for name, number in _seeds(line).items():
            counts[name][number] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in counts.items()}


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(v) for v in value]
    return value if math.isfinite(value) else json.dumps(value)


def _decoded(value: Any) -> list[float] | float:
    return [_number(v) for v in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in _NO_JSON_NUMBERS):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
