"""What is chosen on validation data: by which scores, on how many examples, and when they decide nothing."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from experiments import cli
from experiments.recommendation.data import Data
from experiments.recommendation.measures import Setting
from train.data.interactions import row_lengths
from train.metrics_log import read_metrics
from train.run_directory import RunDirectory

ENOUGH = 100
"""Cases from which a choice is trusted: the 95 % interval of a mean of numbers in [0, 1] over n independent cases is up
to 1 / sqrt(n) wide to either side, here 0.1."""


class Evidence(NamedTuple):
    """The validation examples of a choice.

    Attributes:
      cases: how many users or sessions.
      case: what one is called, in the singular.
      events: how many items or events were to be found.
    """

    cases: int
    case: str
    events: int

    def __str__(self) -> str:
        return f"{_count(self.cases, self.case)} with {_count(self.events, 'event')} to be found"

    def warning(self) -> str | None:
        """A sentence where there are too few to choose by."""
        if self.cases >= ENOUGH:
            return None
        width = 1 / max(1, self.cases) ** 0.5
        return (
            f"The choice on validation data is made on {self}: too few to decide anything. "
            f"The 95 % interval of such a mean can reach {width:.2f} to either side."
        )


def evidence(data: Data) -> Evidence:
    """The validation users with something to be found, by whom everything is chosen."""
    held = row_lengths(data.split.validation.held)
    return Evidence(int((held > 0).sum()), "user", int(held.sum()))


def announce(what: str, evidence: Evidence) -> None:
    """Says on what something is chosen, and warns where that is too little."""
    cli.say(f"{what} on {evidence}")
    if warning := evidence.warning():
        cli.say(f"warning: {warning}")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


class Curve(NamedTuple):
    """Validation over training: updates or epochs, and the criterion of each seed after each."""

    steps: Num[np.ndarray, " evaluations"]
    values: Float[np.ndarray, "seeds evaluations"]

    def best(self) -> Float[np.ndarray, " seeds"]:
        """The best of each seed; NaN where there was no evaluation, as of weights from elsewhere."""
        return self.values.max(1) if self.values.size else np.full(len(self.values), np.nan)


def validation_score(curve: Curve, setting: Setting) -> float:
    """What validation chose by: the mean of each seed's best (strong), or the best mean, at one step for all (weak)."""
    if setting.protocol == "strong" or not curve.values.size:
        return float(curve.best().mean())
    return float(curve.values.mean(0).max())


def read_curve(run: RunDirectory, criterion: str) -> Curve:
    """The criterion at every evaluation, from the log; runs of earlier versions logged minus it, as a loss."""
    logged, parts = read_metrics(run.metrics), []
    for name, sign in (("validation/loss", -1), (f"validation/{criterion}", 1)):
        steps, values = logged.get(name, (np.zeros(0, int), np.zeros((0, 1))))
        parts.append((np.asarray(steps), sign * values.reshape(len(values), math.prod(values.shape[1:])).T))
    found = [part for part in parts if len(part[0])] or parts[:1]
    return Curve(*(np.concatenate(arrays, axis=-1) for arrays in zip(*found, strict=True)))


def best_steps(curve: Curve) -> int:
    """The number of updates whose mean criterion over seeds is highest."""
    return int(curve.steps[curve.values.mean(0).argmax()])
