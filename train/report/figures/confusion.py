"""Which class is taken for which."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import PowerNorm

from train.report.figures.canvas import INK, ORANGE, PAGE_INCHES, PAPER_TO_BLUE, chart

MOST_NAMES = 60
"""More classes than this are too narrow for their names."""


def confusion(
    path: str | os.PathLike[str],
    matrix: Float[np.ndarray, "classes classes"],
    names: Sequence[str],
    groups: tuple[tuple[str, int], tuple[str, int]],
) -> pathlib.Path:
    """Draws a square matrix: rows the true class, columns the predicted one, small shares lifted.

    Args:
      path: the PNG file to write.
      matrix: share of the row's examples, in [0, 1].
      names: of the classes.
      groups: names and sizes of the first and the last classes, parted by lines; either may be empty.

    Returns:
      The path.

    Raises:
      ValueError: when names or groups don't fit the matrix.
    """
    if matrix.shape != (len(names), len(names)) or sum(size for _, size in groups) != len(names):
        raise ValueError(f"{len(names)} names and groups {groups} for a {matrix.shape} matrix")
    count, first = len(names), groups[0][1]
    with chart(path, 0.92 * PAGE_INCHES, 0.85 * PAGE_INCHES) as figure:
        axes = figure.add_subplot(aspect="equal")
        mesh = axes.pcolormesh(matrix, cmap=PAPER_TO_BLUE, norm=PowerNorm(0.5, vmin=0, vmax=1))
        axes.invert_yaxis()
        axes.grid(visible=False)
        ticks, labels = np.arange(count) + 0.5, list(names)
        if count > MOST_NAMES:
            ticks, labels = np.array([first / 2, (first + count) / 2]), [name for name, _ in groups]
        axes.set_xticks(ticks, labels, rotation=90 if count <= MOST_NAMES else 0, color=INK, fontsize=7.5)
        axes.set_yticks(ticks, labels, color=INK, fontsize=7.5)
        axes.tick_params(length=0)
        if 0 < first < count:
            axes.axhline(first, color=ORANGE, linewidth=1)
            axes.axvline(first, color=ORANGE, linewidth=1)
        axes.set(xlabel="predicted", ylabel="true")
        bar = figure.colorbar(mesh, ax=axes, shrink=0.6, label="share of the row")
        bar.outline.set_visible(False)  # pyright: ignore
    return pathlib.Path(path)
