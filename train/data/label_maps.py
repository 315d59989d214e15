"""Label maps: unknown pixels, and remapping from the values in files to classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from train.errors import UserError
from train.layout import UNKNOWN

LARGEST_VALUE = 2**16 - 1


@dataclass(frozen=True, eq=False)
class ClassTable:
    """From the values in label files to the classes 0 .. L - 1, and L for unknown.

    Attributes:
      classes: L.
      dont_care: whether there are unknown pixels.
      class_of: by value; -1 for a value that is not a class.
      remapped: whether a table says what the values are.
    """

    classes: int
    dont_care: bool
    class_of: Int[np.ndarray, " values"]
    remapped: bool = False

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
        return cls(classes, dont_care, table, remap is not None)

    def to_classes(
        self, values: Int[np.ndarray, "h w"], name: str, flag: str = "--data.labels"
    ) -> Int[np.ndarray, "h w"]:
        """The label map of a file's values.

        Args:
          values: as they stand in the file.
          name: of the file, for messages.
          flag: what the user named its folder by.

        Raises:
          UserError: a value is not a class.
        """
        inside = (values >= 0) & (values <= LARGEST_VALUE)
        labels = np.where(inside, self.class_of[np.where(inside, values, 0)], -1).astype(np.int32)
        if (labels < 0).any():
            raise self.refusal(int(values[labels < 0].min()), name, flag, np.unique(values).tolist())
        return labels

    def refusal(self, value: int, name: str, flag: str, values: Sequence[int]) -> UserError:
        """What to say of a value that is not a class, where a file, or a set, holds all of `values`."""
        problem = f"{name} holds the value {value}, which is not one of the {self.classes} classes"
        if self.remapped:
            return UserError(flag, value, problem, "list it in a --data.remap table")
        strange = [v for v in values if not 0 <= v <= LARGEST_VALUE or self.class_of[v] < 0]
        if strange == [UNKNOWN] and set(values) != {0, UNKNOWN}:
            remedy = (
                "if 255 means unknown, give --data.dont-care True; if it is a class, list it by --data.remap"
            )
            return UserError(flag, value, problem, remedy)
        return UserError(flag, value, problem, advice(values))


def advice(values: Sequence[int]) -> str:
    """How to tell the classes of label maps that hold these values."""
    if set(values) in ({0, UNKNOWN}, {UNKNOWN}):
        return 'for masks of 0 and 255 give --data.classes 2 and --data.remap FILE, a JSON file of {"0": 0, "255": 1}'
    unknown = " and, if 255 means unknown, --data.dont-care True" if UNKNOWN in values else ""
    classes = max((value for value in values if not unknown or value != UNKNOWN), default=0) + 1
    if min(values, default=0) < 0 or classes > LARGEST_VALUE:
        return f"give maps of values from 0 to {LARGEST_VALUE}, which a --data.remap table can list"
    if classes > 2**15:
        return "give a --data.remap table that lists all values, and as many --data.classes as it makes"
    return f"give --data.classes {classes}{unknown}, or a --data.remap table that lists all values"


def minus_one(classes: int) -> dict[int, int | None]:
    """ADE20K's own numbering: 0 is unknown, and value k is class k - 1."""
    return {0: None, **{k + 1: k for k in range(classes)}}
