"""Grids of images with readable labels: arrays in, one PNG file out."""

import io
import os
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Num
from PIL import Image, ImageDraw, ImageFont

from train.atomic import write_atomically

PAGE_PIXELS = 1800  # a page of 900 pixels at two for one
LARGEST_IMAGE = 256  # pixels of a side up to which small images are enlarged
GUTTER, TEXT = 6, 26  # pixels
INK = "#24292f"
Entry = tuple[str, tuple[int, int, int]]
"""A name, and its colour in bytes."""
FONT = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def image_grid(
    path: str | os.PathLike[str],
    images: Num[np.ndarray, "rows columns height width 3"],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    scale: int | None = None,
    legend: Sequence[Entry] = (),
) -> pathlib.Path:
    """Writes images side by side, such as originals over reconstructions, or one traversal per row.

    Args:
      path: the PNG file to write.
      images: uint8, or floats of [0, 1] (clipped to it).
      row_labels: left of the rows.
      column_labels: above the columns; shortened with an ellipsis where a column is too narrow.
      scale: pixels for one pixel of an image; by default such that the grid about fills the page.
      legend: names with their colours, below the grid.

    Returns:
      The path.

    Raises:
      ValueError: when the images have another shape, hold non-finite values, or the labels don't fit them.
    """
    pixels = _as_bytes(images)
    rows, columns, _, width, _ = pixels.shape
    for name, labels, count in (("row", row_labels, rows), ("column", column_labels, columns)):
        if labels is not None and len(labels) != count:
            raise ValueError(f"{len(labels)} {name} labels for {count} {name}s")
    scale = scale or int(np.clip(round(PAGE_PIXELS / (columns * width)), 1, max(1, LARGEST_IMAGE // width)))
    cells = _tile(pixels.repeat(scale, axis=2).repeat(scale, axis=3))
    sheet = _labelled(cells, rows, columns, row_labels, column_labels)
    return write_atomically(path, _png(_with_legend(sheet, legend) if legend else sheet))


def _as_bytes(images: np.ndarray) -> np.ndarray:
    if images.ndim != 5 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(f"a grid needs images [rows, columns, height, width, 3], not {list(images.shape)}")
    if images.dtype == np.uint8:
        return images
    if not np.isfinite(images).all():
        raise ValueError("the images hold non-finite values")
    return np.rint(255 * np.clip(images.astype(np.float32), 0, 1)).astype(np.uint8)


def _tile(pixels: np.ndarray) -> Image.Image:
    """One picture of all cells, white gutters between them."""
    gaps = ((0, 0), (0, 0), (0, GUTTER), (0, GUTTER), (0, 0))
    padded = np.pad(pixels, gaps, constant_values=255)
    rows, columns, height, width, _ = padded.shape
    whole = padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    return Image.fromarray(np.ascontiguousarray(whole[:-GUTTER, :-GUTTER]))


def _labelled(
    cells: Image.Image, rows: int, columns: int, left: Sequence[str] | None, above: Sequence[str] | None
) -> Image.Image:
    # A grid wider than the page is shrunk by it: its letters start larger.
    font = ImageFont.truetype(str(FONT), round(TEXT * max(1.0, 1.08 * cells.width / PAGE_PIXELS)))
    margin = round(max(map(font.getlength, left)) + 0.7 * font.size) if left else 0
    head = round(1.5 * font.size) if above else 0
    sheet = Image.new("RGB", (cells.width + margin, cells.height + head), "white")
    sheet.paste(cells, (margin, head))
    draw = ImageDraw.Draw(sheet)
    wide, high = (cells.width + GUTTER) / columns, (cells.height + GUTTER) / rows
    for row, label in enumerate(left or ()):
        middle = head + (row + 0.5) * high - GUTTER / 2
        draw.text((margin - 0.5 * font.size, middle), label, INK, font, anchor="rm")
    for column, label in enumerate(above or ()):
        middle = margin + (column + 0.5) * wide - GUTTER / 2
        draw.text((middle, 0.6 * head), _shortened(label, font, wide), INK, font, anchor="mm")
    return sheet


def _with_legend(sheet: Image.Image, legend: Sequence[Entry]) -> Image.Image:
    """The sheet, and below it a square of each colour with its name, in columns as wide as the longest."""
    font = ImageFont.truetype(str(FONT), round(TEXT * max(1.0, 1.08 * sheet.width / PAGE_PIXELS)))
    side = round(0.9 * font.size)
    width = min(sheet.width, round(max(font.getlength(name) for name, _ in legend) + 3 * side))
    columns = max(1, sheet.width // width)
    top, line = sheet.height + side, round(1.5 * font.size)
    whole = Image.new("RGB", (sheet.width, top + -(-len(legend) // columns) * line), "white")
    whole.paste(sheet, (0, 0))
    draw = ImageDraw.Draw(whole)
    for i, (name, colour) in enumerate(legend):
        x, y = i % columns * width, top + i // columns * line
        draw.rectangle((x, y, x + side, y + side), colour, INK)
        text = _shortened(name, font, width - 2 * side)
        draw.text((x + 1.5 * side, y + side / 2), text, INK, font, anchor="lm")
    return whole


def _shortened(label: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(label) <= width:
        return label
    fits = (label[:length] + "…" for length in range(len(label) - 1, 0, -1))
    return next((text for text in fits if font.getlength(text) <= width), "")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
