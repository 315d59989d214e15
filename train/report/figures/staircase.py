"""Estimates over training beside a truth that moves in steps: the figure of papers on mutual information."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from train.report.figures.canvas import BLUE, INK, ORANGE, PAGE_INCHES, chart, compact, panels
from train.report.figures.loss_curves import RAW_POINTS


@dataclasses.dataclass(frozen=True)
class Staircase:
    """One estimator's values.

    Attributes:
      steps: when they were taken, increasing.
      truth: at each step.
      values: one column per seed.
      ceiling: a level that no value exceeds, by name; None draws none.
    """

    steps: Num[np.ndarray, " time"]
    truth: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "time seeds"]
    ceiling: tuple[str, float] | None = None


def staircases(
    path: str | os.PathLike[str], shown: Mapping[str, Staircase], span: int, y_label: str
) -> pathlib.Path:
    """Draws a panel per estimator on common axes: values of the first seed faintly, every seed's average strongly.

    The average is an exponential one of the past, as in the papers. The value axis is the truth's with as much again
    above and a quarter below: estimates of high variance leave it.

    Args:
      path: the PNG file to write.
      shown: the estimators by title.
      span: of the moving average, in values.
      y_label: of the value axes.

    Returns:
      The path.

    Raises:
      ValueError: when there is no estimator, or one has no values.
    """
    if not shown or any(len(one.steps) == 0 for one in shown.values()):
        raise ValueError(f"no values to draw in {path}: {list(shown)}")
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    top = max(float(one.truth.max()) for one in shown.values())
    with chart(path, PAGE_INCHES * max(columns, 2) / 3, 0.4 + 2.4 * rows) as figure:
        for axes, (name, one) in zip(panels(figure, rows, columns, len(shown)), shown.items(), strict=True):
            axes.set(title=name, xlabel="step", ylabel=y_label, ylim=(-0.25 * top, 2 * top))
            _draw(axes, one, span)
    return pathlib.Path(path)


def moving_average(values: Float[np.ndarray, "time seeds"], span: int) -> Float[np.ndarray, "time seeds"]:
    """Exponential average of the past with weight 2 / (span + 1), each mean over what there is so far."""
    keep = 1 - 2 / (span + 1)
    averages, total, weight = np.empty_like(values, np.float64), np.zeros(values.shape[1]), 0.0
    for row, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        averages[row] = total / weight
    return averages


def _draw(axes: Axes, one: Staircase, span: int) -> None:
    stride = max(1, len(one.steps) // RAW_POINTS)
    axes.plot(one.steps[::stride], one.values[::stride, 0], color=BLUE, alpha=0.25, linewidth=0.8)
    smooth = moving_average(one.values, span)[::stride]
    for seed in smooth.T:
        axes.plot(one.steps[::stride], seed, color=BLUE, linewidth=1.4)
    axes.step(one.steps, one.truth, color=INK, linewidth=1.4, where="post", label="true value")
    if one.ceiling:
        name, level = one.ceiling
        axes.axhline(level, color=ORANGE, linewidth=1.1, linestyle="--", label=name)
    axes.legend(loc="upper left")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(compact)
