"""Points of several groups in the plane."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps

from train.report.figures.canvas import INK, PAGE_INCHES, chart, panels

Points = tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"], str]


def class_scatter(
    path: str | os.PathLike[str], shown: Mapping[str, Sequence[Points]], axis_names: tuple[str, str]
) -> pathlib.Path:
    """Draws panels of points whose colour is their class, the same in all panels and on common axes.

    Args:
      path: the PNG file to write.
      shown: panels by title, each of groups (points, class of each point, matplotlib marker). A group of marker
        "o" is drawn small and pale, any other large with a dark edge, above it.
      axis_names: of the plane.

    Returns:
      The path.
    """
    groups = [group for panel in shown.values() for group in panel]
    everything = np.concatenate([points for points, _, _ in groups])
    low, high = everything.min(0), everything.max(0)
    room = 0.04 * np.maximum(high - low, 1e-9)
    count = 1 + max((int(classes.max()) for _, classes, _ in groups if len(classes)), default=0)
    # Neighbouring classes in distant colours: steps by the golden ratio go round the wheel without repeating.
    colours = colormaps["hsv"](np.arange(count) * 0.61803 % 1)
    with chart(path, PAGE_INCHES, 0.3 + 0.92 * PAGE_INCHES / len(shown)) as figure:
        for axes, (title, panel) in zip(
            panels(figure, 1, len(shown), len(shown)), shown.items(), strict=True
        ):
            axes.set_title(title)
            axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
            axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
            for points, classes, marker in panel:
                if marker == "o":
                    style = {"s": 9, "alpha": 0.45, "linewidths": 0}
                else:
                    style = {"s": 70, "edgecolors": INK, "linewidths": 0.9, "zorder": 3}
                axes.scatter(*points.T, c=colours[classes], marker=marker, **style)
    return pathlib.Path(path)
