"""Sizes of label maps that images are wanted for: resized as training resized its own, or kept."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from train.data.label_config import LayoutConfig, geometry_of
from train.data.pair_geometry import Geometry, place_map
from train.errors import UserError
from train.layout import Layout
from train.steps.gaugan_networks import GauGANConfig, check

Size = tuple[int, int]
"""Height and width, in pixels."""


def geometry_for(data: LayoutConfig, layout: Layout) -> Geometry:
    """How maps get a size that the network was trained on; rendered scenes were of that size to begin with."""
    if data.source == "embedded":
        return Geometry("fixed", layout.width, layout.width, layout.width / layout.height)
    return geometry_of(data).for_evaluation()


def size_after(geometry: Geometry | None, layout: Layout, size: Size, path: Path) -> Size:
    """The size of a map of this size once it is resized; its own without a geometry.

    Raises:
      UserError: it is too small for the crop of training.
    """
    if geometry is None or size == (layout.height, layout.width):
        return size
    try:
        placed = geometry.place(size[1], size[0], None)
    except UserError as error:
        raise UserError("--labels", path, error.problem, f"give maps of {words(layout)}") from error
    return placed.final_height, placed.final_width


def resized(
    array: Int[np.ndarray, "h w"], geometry: Geometry | None, layout: Layout
) -> Int[np.ndarray, "H W"]:
    """A map at the size of `size_after`, by its nearest pixels."""
    height, width = array.shape
    if geometry is None or (height, width) == (layout.height, layout.width):
        return array
    return place_map(array, geometry.place(width, height, None))


def fitting(layout: Layout, network: GauGANConfig, size: Size, path: Path, own: Size) -> Layout:
    """The layout of images of this size.

    Args:
      layout: that the network was trained on.
      network: its settings.
      size: of the images.
      path, own: the file that the size comes from, and the size of its map.

    Raises:
      UserError: the network can't make images of that size.
    """
    if size == (layout.height, layout.width):
        return layout
    other = replace(layout, height=size[0], width=size[1])
    became = "" if own == size else f" and becomes {words(other)}"
    problem = f"is {own[1]} x {own[0]} pixels{became}, "
    remedy = f"give maps of {words(layout)}" + (", or leave --no-resize out" if own == size else "")
    if network.vae:
        raise UserError(
            "--labels", path, f"{problem}a network with styles makes {words(layout)} only", remedy
        )
    try:
        check(network, other)
    except UserError as error:
        raise UserError("--labels", path, f"{problem}which the network can't double to", remedy) from error
    return other


def words(layout: Layout) -> str:
    """Its size as text."""
    return f"{layout.width} x {layout.height}"


def rows_by_size(sizes: Sequence[Size], batch_size: int) -> Iterator[list[int]]:
    """The maps' numbers, at most so many at a time, all of one size."""
    for size in dict.fromkeys(sizes):
        rows = [row for row, own in enumerate(sizes) if own == size]
        yield from (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
