"""Charts of distances, importances and latents."""

import math
import os
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.ticker import FuncFormatter

from train.report.figures.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PAGE_INCHES,
    PAPER_TO_BLUE,
    chart,
    compact,
    panels,
)

SMALLEST_CELL = 0.42  # inches: a narrower cell of a heat map can't hold a number
LETTER = 0.076  # inches: a letter of a heat map's names


def distance_scatter(
    path: str | os.PathLike[str],
    latent: Float[np.ndarray, " pairs"],
    image: Float[np.ndarray, " pairs"],
    scale: float = 1.0,
) -> pathlib.Path:
    """Draws the density of pairs over scaled latent and image distance, and the line where both are equal.

    The title gives Pearson's correlation and the mean absolute difference, which is the Gromov-Wasserstein
    term of these pairs.

    Args:
      path: the PNG file to write.
      latent: d(z, z') of each pair of prior samples.
      image: d(x, x') of their decodings.
      scale: the factor C that brings latent distances to the units of image distances.

    Returns:
      The path.
    """
    x, y = scale * np.asarray(latent, np.float64), np.asarray(image, np.float64)
    limit = 1.03 * max(x.max(), y.max(), 1e-12)
    correlation = f"{np.corrcoef(x, y)[0, 1]:.3f}" if x.std() > 0 and y.std() > 0 else "undefined"
    with chart(path, 0.62 * PAGE_INCHES, 0.55 * PAGE_INCHES) as figure:
        axes = figure.add_subplot(aspect="equal", xlim=(0, limit), ylim=(0, limit))
        axes.set_title(f"correlation {correlation}   mean |difference| {np.abs(x - y).mean():.3g}")
        axes.set(xlabel="latent distance  C · d(z, z′)", ylabel="image distance  d(x, x′)")
        visible = ListedColormap(
            PAPER_TO_BLUE(np.linspace(0.18, 1, 256))
        )  # one pair must still show on white
        cells = axes.hexbin(
            x,
            y,
            gridsize=50,
            extent=(0, limit, 0, limit),
            mincnt=1,
            cmap=visible,
            norm=LogNorm(),
            linewidth=0.2,
        )
        axes.plot([0, limit], [0, limit], color=ORANGE, linewidth=1.4, label="equal distances")
        axes.legend(loc="upper left")
        bar = figure.colorbar(
            cells, ax=axes, label="pairs per cell", shrink=0.8, format=FuncFormatter(compact)
        )
        bar.outline.set_visible(False)  # pyright: ignore
    return pathlib.Path(path)


def heat_map(
    path: str | os.PathLike[str],
    matrix: Float[np.ndarray, "rows columns"],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
) -> pathlib.Path:
    """Draws a matrix as coloured cells with their values.

    Where cells are too narrow for values, a colour bar stands for them.

    Args:
      path: the PNG file to write.
      matrix: values of any unit; non-finite ones stay white with a dash.
      row_names: one per row, such as the latents.
      column_names: one per column, such as the factors.
      title: above the columns.

    Returns:
      The path.

    Raises:
      ValueError: when the names don't fit the matrix.
    """
    if matrix.shape != (len(row_names), len(column_names)):
        raise ValueError(
            f"{len(row_names)} row and {len(column_names)} column names for a {matrix.shape} matrix"
        )
    margin = 0.6 + LETTER * max(map(len, row_names))
    cell = min(1.1, (PAGE_INCHES - margin) / len(column_names))
    heads, head_height, upright = _fit_heads(column_names, cell)
    width = max(margin + cell * len(column_names), 0.6 + 0.11 * len(title))
    height = 0.7 + head_height + (0.34 if cell >= SMALLEST_CELL else 0.2) * len(row_names)
    with chart(path, width, height) as figure:
        axes = figure.add_subplot()
        values = np.ma.masked_invalid(matrix)
        mesh = axes.pcolormesh(values, cmap=PAPER_TO_BLUE, vmin=min(0.0, values.min()), edgecolor="white")
        axes.set_title(title, pad=10)
        axes.set_xticks(np.arange(len(heads)) + 0.5, heads, rotation=90 if upright else 0, color=INK)
        axes.set_yticks(np.arange(len(row_names)) + 0.5, row_names, color=INK)
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
        axes.invert_yaxis()
        if cell >= SMALLEST_CELL:
            _write_values(axes, matrix, mesh.to_rgba(values))
        else:
            bar = figure.colorbar(
                mesh, ax=axes, shrink=0.4, aspect=25, anchor=(0, 1), format=FuncFormatter(compact)
            )
            bar.outline.set_visible(False)  # pyright: ignore
    return pathlib.Path(path)


def latent_histograms(
    path: str | os.PathLike[str],
    prior: Float[np.ndarray, "samples latents"],
    posterior: Float[np.ndarray, "codes latents"],
) -> pathlib.Path:
    """Draws, for each latent, the density of prior samples and that of the codes of data.

    The axis of a latent spans the central 99.8 % of both.

    Args:
      path: the PNG file to write.
      prior: samples of the prior.
      posterior: codes of images (the aggregate posterior); another number of them is fine.

    Returns:
      The path.
    """
    latents = prior.shape[1]
    columns = min(5, latents)
    rows = math.ceil(latents / columns)
    with chart(path, PAGE_INCHES * max(columns, 2) / 5, 0.5 + 1.45 * rows) as figure:
        for index, axes in enumerate(panels(figure, rows, columns, latents)):
            ours, theirs = posterior[:, index], prior[:, index]
            low, high = np.percentile(np.concatenate([ours, theirs]), [0.1, 99.9])
            edges = np.linspace(low - 1e-6, high + 1e-6, 41)
            axes.hist(theirs, edges, density=True, color="#c4cbd3", label="prior samples")
            axes.hist(
                ours, edges, density=True, histtype="step", color=BLUE, linewidth=1.5, label="codes of data"
            )
            axes.set_title(f"z{index}")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return pathlib.Path(path)


def _fit_heads(names: Sequence[str], cell: float) -> tuple[list[str], float, bool]:
    """The column names in lines no wider than a cell, the inches they take, whether they stand upright."""
    upright = LETTER * max(len(word) for name in names for word in (name.split() or [""])) > cell
    if upright:
        return list(names), LETTER * max(map(len, names)), True
    wrapped = [textwrap.fill(name, int(cell / LETTER)) for name in names]
    return wrapped, 0.17 * max(name.count("\n") + 1 for name in wrapped), False


def _write_values(axes: Axes, matrix: np.ndarray, colours: np.ndarray) -> None:
    finite = np.isfinite(matrix)
    largest = np.abs(matrix, where=finite, out=np.zeros_like(matrix)).max()
    decimals = int(np.clip(2 - np.ceil(np.log10(largest)), 0, 4)) if largest > 0 else 2
    dark = finite & (colours[..., :3] @ np.array([0.299, 0.587, 0.114]) < 0.55)
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{value:.{decimals}f}".replace("-", "−") if finite[row, column] else "–"
        colour = "white" if dark[row, column] else INK if abs(value) > 0.1 * largest else GREY
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour)
