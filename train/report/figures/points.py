"""Models side by side: a point with an interval for each, a panel for each measure."""

import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from train.report.figures.canvas import BLUE, INK, PAGE_INCHES, chart, panels, value_limits

LETTER = 0.085  # inches: a letter of a name


class Point(NamedTuple):
    """A value, the half width of its interval (NaN for none), and the values of single seeds."""

    value: float
    half_width: float
    seeds: tuple[float, ...] = ()


def points(path: str | os.PathLike[str], shown: Mapping[str, Mapping[str, Point]]) -> pathlib.Path:
    """Draws the panels side by side, the names at the left of the first, top to bottom in their order.

    A panel's axis spans at least a quarter of its largest value (`value_limits`).

    Args:
      path: the PNG file to write.
      shown: the points of each panel by name; all panels have the same names.

    Returns:
      The path.

    Raises:
      ValueError: when there are no panels, or their names differ.
    """
    names = [list(panel) for panel in shown.values()]
    if not names or not names[0] or any(other != names[0] for other in names):
        raise ValueError(f"no panels, or panels with different names, to draw in {path}: {names}")
    width = max(0.66 * PAGE_INCHES, min(PAGE_INCHES, 2.4 * len(shown) + LETTER * max(map(len, names[0]))))
    with chart(path, width, 1.0 + 0.3 * len(names[0])) as figure:
        for i, (axes, (title, panel)) in enumerate(
            zip(panels(figure, 1, len(shown), len(shown)), shown.items(), strict=True)
        ):
            axes.set_title(title)
            _draw(axes, panel)
            axes.set_yticks(range(len(panel)), list(panel) if i == 0 else [""] * len(panel))
    return pathlib.Path(path)


def _draw(axes: Axes, panel: Mapping[str, Point]) -> None:
    for place, point in enumerate(panel.values()):
        half = float(np.nan_to_num(point.half_width))
        axes.errorbar(point.value, place, xerr=half, color=BLUE, marker="o", markersize=5, capsize=3)
        if len(point.seeds) > 1:
            axes.plot(point.seeds, [place] * len(point.seeds), "|", color=INK, markersize=9, alpha=0.7)
    axes.set_ylim(len(panel) - 0.5, -0.5)
    halves = [float(np.nan_to_num(point.half_width)) for point in panel.values()]
    ends = [
        point.value + sign * half
        for point, half in zip(panel.values(), halves, strict=True)
        for sign in (-1, 1)
    ]
    every = np.asarray([*ends, *(seed for point in panel.values() for seed in point.seeds)])
    if (finite := every[np.isfinite(every)]).size:
        axes.set_xlim(*value_limits(finite.min(), finite.max()))
