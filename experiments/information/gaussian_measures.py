"""What is measured of the trainings of `mi_gaussian`, from their logs: mean, bias and variance of each level."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float

from train.bounds import AtLeast
from train.data.correlated_pairs import Toy
from train.errors import UserError
from train.json_records import read_record
from train.metrics_log import read_metrics
from train.run_directory import RunDirectory, write_json


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How estimates are summed up."""

    window: Annotated[int, AtLeast(1)] = 500
    """Estimates at the end of each level from which bias and variance are computed."""
    span: Annotated[int, AtLeast(1)] = 200
    """Span of the moving average in the figures, in estimates."""


class Stage(NamedTuple):
    """One training: an estimator (study/name) on a toy, for so many steps."""

    toy: Toy
    estimator: str
    steps: int

    @property
    def folder(self) -> str:
        """Where it lies in the run."""
        plain = "".join(c if c.isalnum() or c in "._/" else "-" for c in self.estimator.lower())
        return f"{self.toy}/{plain.replace('--', '-')}"


class Toys(NamedTuple):
    """The pairs: mutual information of each level in nats, dimensions, pairs of a batch."""

    levels: tuple[float, ...]
    dim: int
    batch_size: int


class End(NamedTuple):
    """How a stage ended: the seconds of training with compilation, and where it diverged, if it did."""

    seconds: float
    diverged: str = ""


class Summary(NamedTuple):
    """What a stage gave.

    Attributes:
      estimates: of every step, in nats.
      mean: of the last estimates of each level.
      variance: of the same, over steps, population variance.
      bias: |truth - mean|, as in CLUB's notebook.
      end: how it ended.
    """

    estimates: Float[np.ndarray, "steps seeds"]
    mean: Float[np.ndarray, "seeds levels"]
    variance: Float[np.ndarray, "seeds levels"]
    bias: Float[np.ndarray, "seeds levels"]
    end: End

    @property
    def mse(self) -> Float[np.ndarray, "seeds levels"]:
        """Mean squared error: bias^2 + variance."""
        return self.bias**2 + self.variance


def write_end(run: RunDirectory, stage: Stage, end: End) -> None:
    """Marks a stage as ended."""
    write_json(_end_file(run, stage), end._asdict())


def read_end(run: RunDirectory, stage: Stage) -> End | None:
    """What `write_end` wrote, None before it did.

    Raises:
      UserError: it was altered to something impossible.
    """
    file = _end_file(run, stage)
    if not file.exists():
        return None
    record = read_record(file, stage.folder, file, "remove that file, and continue by --resume")
    return End(record.number("seconds"), record.text("diverged"))


def _end_file(run: RunDirectory, stage: Stage) -> Path:
    return run.path / stage.folder / "end.json"


def measure(run: RunDirectory, stage: Stage, toys: Toys, window: int) -> Summary:
    """Reads a stage's log; what one that diverged did not estimate is NaN.

    Raises:
      UserError: the log is gone or ends too soon.
    """
    log = run.in_stage(stage.folder).metrics
    series, end = read_metrics(log), read_end(run, stage)
    found = series["estimate"][1] if "estimate" in series else np.zeros((0, 1))
    if end is None or (len(found) != stage.steps and not end.diverged):
        problem = f"does not hold the {stage.steps} estimates of {stage.estimator} on {stage.toy} pairs"
        raise UserError("metrics log", log, problem, f"finish the run with --resume {run.path}")
    found = found.reshape(len(found), -1)
    estimates = np.pad(found, ((0, stage.steps - len(found)), (0, 0)), constant_values=np.nan)
    mean, variance = summarise(estimates, len(toys.levels), window)
    return Summary(estimates, mean, variance, np.abs(np.asarray(toys.levels) - mean), end)


def summarise(
    estimates: Float[np.ndarray, "steps seeds"], levels: int, window: int
) -> tuple[Float[np.ndarray, "seeds levels"], Float[np.ndarray, "seeds levels"]]:
    """Mean and population variance of the last `window` estimates of each level."""
    last = estimates.reshape(levels, -1, estimates.shape[1])[:, -window:]
    return last.mean(1).T, last.var(1).T
