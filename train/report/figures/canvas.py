"""The style that all charts share, and the sheet they are drawn on.

A chart is drawn for a page 900 pixels wide at two pixels for one, so that it stays sharp on dense screens
and in print. Colours are from Okabe and Ito's palette, which colour-blind readers tell apart. Titles and
labels are plain text: a dollar sign is a dollar sign.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from train.atomic import write_atomically

PAGE_INCHES, PIXELS_PER_INCH = 9.0, 200
LEAST_SPAN = 0.25  # of a value axis, as a share of its largest value: less would make noise look like a trend
INK, GREY, FAINT, BLUE, ORANGE = "#24292f", "#57606a", "#d0d7de", "#0072b2", "#d55e00"
PAPER_TO_BLUE = LinearSegmentedColormap.from_list(
    "paper to blue", ["#f3f6f9", "#9ecae1", "#0072b2", "#08306b"]
)

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": GREY,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eaeef2",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextlib.contextmanager
def chart(path: str | os.PathLike[str], width: float, height: float) -> Iterator[Figure]:
    """Yields an empty figure in the house style, and writes it as PNG when the block ends well.

    Args:
      path: the PNG file to write.
      width: of the figure, in inches.
      height: of the figure, in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), PIXELS_PER_INCH, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.07)  # pyright: ignore
        yield figure
        png = io.BytesIO()
        figure.savefig(png, format="png")
    write_atomically(path, png.getvalue())


def panels(figure: Figure, rows: int, columns: int, count: int) -> list[Axes]:
    """The first `count` panels of a grid, row by row."""
    return [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


def compact(value: float, _position: float | None = None) -> str:
    """A short number for an axis: 25k, 1.5M, 0.02, 3e−5."""
    size = abs(value)
    if size >= 1e6:
        text = f"{value / 1e6:.4g}M"
    elif size >= 1e4:
        text = f"{value / 1e3:.4g}k"
    elif 0 < size < 1e-3:
        text = f"{value:.2g}".replace("e-0", "e-")
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def value_limits(
    low: float, high: float, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """The ends of a linear value axis that shows [low, high] and does not blow noise up to the panel's height.

    What has a least value is shown from there; of anything else the axis spans at least a quarter of the largest
    value, so that a change of one percent looks like one.

    Args:
      low: the least value that is shown.
      high: the largest, at least `low`.
      bounds: of possible values, such as (0, 1) for a share; infinite where there are none.
    """
    least, most = bounds
    if math.isfinite(least):
        low = min(low, least)
        return low, min(low + 1.08 * (high - low), max(most, high)) if high > low else low + 1.0
    missing = max(0.0, LEAST_SPAN * max(abs(low), abs(high)) - (high - low)) / 2
    shown = (max(0.0, low - missing) if low >= 0 else low - missing, high + missing)
    room = 0.06 * (shown[1] - shown[0]) or 0.5
    return shown[0] - room * (shown[0] != 0), shown[1] + room
