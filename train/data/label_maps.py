"""Label maps, instance maps and photos from image files: decoding, unknown pixels, remapping to classes."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from PIL import Image

from train.errors import UserError
from train.layout import UNKNOWN

LARGEST_VALUE = 2**16 - 1
INDEX_MODES = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's names of one-channel images; of a palette image (P) the index is the class, whatever its colour."""
_UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are cut off or are no images."""


class Encoded(NamedTuple):
    """An image file, or its bytes.

    Attributes:
      name: what to call it in messages.
      content: where it is, or what it holds.
    """

    name: str
    content: Path | bytes


class UnreadableError(Exception):
    """An image file that is damaged or is none."""

    def __init__(self, file: Encoded, reason: Exception):
        text = " ".join(str(reason).split()).replace(str(file.content), "").strip() or type(reason).__name__
        self.name, self.reason = file.name, text[:120]
        super().__init__(f"{self.name}: {self.reason}")


def read_photo(file: Encoded) -> Image.Image:
    """The RGB image of a file.

    Raises:
      UnreadableError: it is damaged, or no image.
    """
    return _decode(file, lambda image: image.convert("RGB"))


def read_indices(file: Encoded, flag: str) -> Int[np.ndarray, "h w"]:
    """The integers of a one-channel or palette image of 1, 8, 16 or 32 bits.

    Args:
      file: of a label or instance map.
      flag: what the user named it by, for messages.

    Raises:
      UnreadableError: it is damaged, or no image.
      UserError: it has colours instead of indices.
    """
    image = _decode(file, lambda image: image)
    if image.mode not in INDEX_MODES:
        problem = f"{file.name} is a colour image ({image.mode}), not a map of integers"
        raise UserError(flag, file.name, problem, "save a one-channel or palette image of 8 or 16 bits")
    return np.asarray(image).astype(np.int32)


def _decode(file: Encoded, prepare) -> Image.Image:
    content = BytesIO(file.content) if isinstance(file.content, bytes) else file.content
    try:
        with Image.open(content) as image:
            image.load()
            return prepare(image).copy()
    except _UNDECODABLE as error:
        raise UnreadableError(file, error) from error


@dataclass(frozen=True, eq=False)
class ClassTable:
    """From the values in label files to the classes 0 .. L - 1, and L for unknown.

    Attributes:
      classes: L.
      dont_care: whether there are unknown pixels.
      class_of: by value; -1 for a value that is no class.
    """

    classes: int
    dont_care: bool
    class_of: Int[np.ndarray, " values"]

    @classmethod
    def make(
        cls, classes: int, dont_care: bool, remap: Mapping[int, int | None] | None = None
    ) -> "ClassTable":
        """The table of a data set.

        Without a remap a value is its class. Where there are unknown pixels, L itself means unknown, and so does
        255 unless it is a class.

        Args:
          classes: L.
          dont_care: whether there are unknown pixels.
          remap: the class of every value that files may hold, None for unknown; 255 is unknown unless listed.
        """
        table = np.full(LARGEST_VALUE + 1, -1, np.int32)
        if dont_care:
            table[UNKNOWN] = classes
        if remap is None:
            known = classes + dont_care
            table[:known] = np.arange(known)
        else:
            for value, label in remap.items():
                table[value] = classes if label is None else label
        return cls(classes, dont_care, table)

    def to_classes(
        self, values: Int[np.ndarray, "h w"], name: str, flag: str = "--data.labels"
    ) -> Int[np.ndarray, "h w"]:
        """The label map of a file's values.

        Args:
          values: as they stand in the file.
          name: of the file, for messages.
          flag: what the user named its folder by.

        Raises:
          UserError: a value is no class.
        """
        inside = (values >= 0) & (values <= LARGEST_VALUE)
        labels = np.where(inside, self.class_of[np.where(inside, values, 0)], -1).astype(np.int32)
        if (labels < 0).any():
            self._refuse(int(values[labels < 0].min()), name, flag)
        return labels

    def _refuse(self, value: int, name: str, flag: str) -> None:
        problem = f"{name} holds the value {value}, which is none of the {self.classes} classes"
        remedy = "give more --data.classes, or a --data.remap table that lists the value"
        if value == UNKNOWN and not self.dont_care:
            remedy = "255 means unknown: give --data.dont-care True"
        raise UserError(flag, value, problem, remedy)


def minus_one(classes: int) -> dict[int, int | None]:
    """ADE20K's own numbering: 0 is unknown, and value k is class k - 1."""
    return {0: None, **{k + 1: k for k in range(classes)}}
