"""Curves over the same axis in one panel, each a mean over seeds in its 95 % interval."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from train.metrics.intervals import mean_interval
from train.report.figures.canvas import BLUE, GREY, INK, ORANGE, PAGE_INCHES, chart, panels, value_limits

GREEN, PURPLE = "#009e73", "#cc79a7"
COLOURS = (BLUE, ORANGE, INK, GREEN, PURPLE, GREY)


@dataclasses.dataclass(frozen=True)
class Panel:
    """Curves that are compared.

    Attributes:
      x: common to all.
      curves: by name, one row of values per seed.
      mark: a vertical line, by name.
      levels: horizontal lines, by name.
      limits: the least and the largest possible value; no band leaves them, and the axis begins at the lower one.
    """

    x: Num[np.ndarray, " points"]
    curves: Mapping[str, Float[np.ndarray, "seeds points"]]
    mark: tuple[str, float] | None = None
    levels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    limits: tuple[float, float] = (-np.inf, np.inf)


def bands(
    path: str | os.PathLike[str], shown: Mapping[str, Panel], x_label: str, y_label: str
) -> pathlib.Path:
    """Draws the panels side by side on one common value axis; with one seed there are no bands.

    The axis begins at the least possible value where there is one, and spans a quarter of the largest otherwise
    (`value_limits`): a flat curve looks flat.

    Args:
      path: the PNG file to write.
      shown: the panels by title.
      x_label: of all panels.
      y_label: of all panels.

    Returns:
      The path.

    Raises:
      ValueError: when there are no panels, or a curve has another length than its axis.
    """
    if not shown:
        raise ValueError(f"no panels to draw in {path}")
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    width = PAGE_INCHES if columns > 1 else 0.66 * PAGE_INCHES
    drawn = []
    with chart(path, width, 0.4 + 3.1 * rows) as figure:
        for axes, (title, panel) in zip(
            panels(figure, rows, columns, len(shown)), shown.items(), strict=True
        ):
            axes.set_title(title)
            axes.set(xlabel=x_label, ylabel=y_label)
            drawn.append(_draw(axes, panel))
        _share_values(figure.axes, np.concatenate(drawn), shown.values())
    return pathlib.Path(path)


def _draw(axes: Axes, panel: Panel) -> Float[np.ndarray, " drawn"]:
    """Draws the panel and returns every finite value in it."""
    drawn = [np.asarray(list(panel.levels.values()), np.float64)]
    for colour, (name, values) in zip(COLOURS, panel.curves.items(), strict=False):
        if values.shape[1] != len(panel.x):
            raise ValueError(f"{name} has {values.shape[1]} values on an axis of {len(panel.x)}")
        mean, half = mean_interval(values)
        half = np.nan_to_num(half)
        low, high = np.clip([mean - half, mean + half], *panel.limits)
        axes.fill_between(panel.x, low, high, color=colour, alpha=0.2, linewidth=0)
        marker = "o" if len(panel.x) == 1 else None
        axes.plot(panel.x, mean, color=colour, linewidth=1.7, marker=marker, label=name)
        drawn += [low, high]
    for name, level in panel.levels.items():
        axes.axhline(level, color=GREY, linewidth=1.1, linestyle="--", label=name)
    if panel.mark:
        axes.axvline(panel.mark[1], color=GREY, linewidth=1.1, linestyle=":", label=panel.mark[0])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=np.issubdtype(panel.x.dtype, np.integer)))
    axes.legend()
    every = np.concatenate(drawn)
    return every[np.isfinite(every)]


def _share_values(every: Sequence[Axes], values: Float[np.ndarray, " drawn"], shown: Iterable[Panel]) -> None:
    """Gives all panels one value axis, on which all that is drawn in them fits."""
    least, most = zip(*(panel.limits for panel in shown), strict=True)
    if values.size:
        for axes in every:
            axes.set_ylim(*value_limits(values.min(), values.max(), (min(least), max(most))))
