"""Small multiples of logged quantities over training, of one seed or of several."""

import dataclasses
import math
import os
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from train.report.figures.canvas import BLUE, GREY, ORANGE, PAGE_INCHES, chart, compact, panels, value_limits

RAW_POINTS = 600  # drawn per curve: more only blackens the panel
UNIT_CHARACTERS = 24  # of one line along the value axis of a panel


@dataclasses.dataclass(frozen=True)
class Curve:
    """One logged quantity.

    Attributes:
      steps: when it was logged, increasing.
      values: one value per step, or one column per seed; non-finite values leave a gap.
      unit: the title of the value axis, such as "nats per image".
      log: whether the value axis is logarithmic.
      references: levels to compare with, by name, such as {"mean image": 9.1}.
    """

    steps: Num[np.ndarray, " time"]
    values: Float[np.ndarray, " time"] | Float[np.ndarray, "time seeds"]
    unit: str = ""
    log: bool = False
    references: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def by_seed(self) -> Float[np.ndarray, "time seeds"]:
        """The values with one column per seed."""
        return np.asarray(self.values, np.float64).reshape(len(self.steps), -1)

    def window(self) -> int:
        """How many points the running mean spans: a fiftieth of them."""
        return max(1, len(self.steps) // 50)


def curves(path: str | os.PathLike[str], series: Mapping[str, Curve], x_label: str = "step") -> pathlib.Path:
    """Draws a panel per quantity: values faintly, their running mean strongly, the range of seeds as a band.

    The running mean is centred, over fewer points at both ends. The value axis shows all of it, the start included,
    and the central 99 % of the values, so that a rare spike leaves the panel instead of flattening it; it spans at
    least a quarter of the largest value (`value_limits`), so that noise about a level looks like noise.

    Args:
      path: the PNG file to write.
      series: the quantities by name, in the order of the panels.
      x_label: the title of the step axes.

    Returns:
      The path.

    Raises:
      ValueError: when there is no quantity, or one has no points.
    """
    if not series or any(len(curve.steps) == 0 for curve in series.values()):
        raise ValueError(f"no points to draw in {path}: {list(series)}")
    columns = {1: 1, 2: 2, 4: 2}.get(len(series), 3)
    rows = math.ceil(len(series) / columns)
    width = PAGE_INCHES if columns > 1 else 0.66 * PAGE_INCHES
    with chart(path, width, 0.45 + (2.35 if columns == 3 else 2.8) * rows) as figure:
        for axes, (name, curve) in zip(
            panels(figure, rows, columns, len(series)), series.items(), strict=True
        ):
            axes.set_title(name)
            axes.set_xlabel(x_label)
            axes.set_ylabel(textwrap.fill(curve.unit, UNIT_CHARACTERS))
            _draw(axes, curve)
        figure.supxlabel(_legend(list(series.values())), fontsize=9, color=GREY)
    return pathlib.Path(path)


def _draw(axes: Axes, curve: Curve) -> None:
    steps, values = np.asarray(curve.steps), curve.by_seed()
    smooth = running_mean(values, curve.window())
    stride = max(1, len(steps) // RAW_POINTS)
    axes.plot(steps[::stride], values[::stride].mean(1), color=BLUE, alpha=0.25, linewidth=0.8)
    if values.shape[1] > 1:
        axes.fill_between(steps, smooth.min(1), smooth.max(1), color=BLUE, alpha=0.22, linewidth=0)
    axes.plot(steps, smooth.mean(1), color=BLUE, linewidth=1.8, marker="o" if len(steps) == 1 else None)
    for name, level in curve.references.items():
        axes.axhline(level, color=ORANGE, linewidth=1.3, linestyle="--", label=f"{name} {compact(level)}")
    if curve.references:
        axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(compact)
    _scale_values(axes, values.mean(1), smooth, curve)


def _scale_values(axes: Axes, values: np.ndarray, smooth: np.ndarray, curve: Curve) -> None:
    drawable = [shown[np.isfinite(shown) & ((shown > 0) | (not curve.log))] for shown in (values, smooth)]
    levels = [level for level in curve.references.values() if level > 0 or not curve.log]
    if min(map(len, drawable)) == 0:
        return
    shown = np.concatenate([np.percentile(drawable[0], [0.5, 99.5]), drawable[1], levels])
    low, high = shown.min(), shown.max()
    if curve.log:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.yaxis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(*value_limits(low, high))
    axes.yaxis.set_major_formatter(compact)


def running_mean(values: Float[np.ndarray, "time seeds"], window: int) -> Float[np.ndarray, "time seeds"]:
    """The centred mean over `window` rows, over fewer at the ends and where values are not finite.

    Args:
      values: one column per seed.
      window: at least 1, at most the number of rows.

    Returns:
      As many rows; NaN where a window holds no finite value.
    """
    finite = np.isfinite(values)

    def sums(rows: np.ndarray) -> np.ndarray:
        return np.stack([np.convolve(column, np.ones(window), "same") for column in rows.T], axis=1)

    totals, counts = sums(np.where(finite, values, 0.0)), sums(finite.astype(np.float64))
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0.5)


def _legend(series: Sequence[Curve]) -> str:
    windows = sorted({curve.window() for curve in series})
    seeds = max(curve.by_seed().shape[1] for curve in series)
    if windows == [1]:
        return f"line: mean; band: range of {seeds} seeds" if seeds > 1 else ""
    span = " to ".join(str(window) for window in sorted({windows[0], windows[-1]}))
    line = f"line: running mean over {span} points; faint: the values"
    return line + (f"; band: range of {seeds} seeds" if seeds > 1 else "")
