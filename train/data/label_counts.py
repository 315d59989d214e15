"""How often each class occurs in a set of layouts."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from train.data.layout_parts import Padded
from train.layout import Layout


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Counts by value of the label map: the classes, then unknown where there is such a thing.

    Attributes:
      names: one per value.
      pixels: that have the value.
      examples: in which it occurs.
      total: how many examples were counted.
    """

    names: tuple[str, ...]
    pixels: Int[np.ndarray, " values"]
    examples: Int[np.ndarray, " values"]
    total: int

    @property
    def share(self) -> Float[np.ndarray, " values"]:
        """Of all pixels; they sum to 1."""
        return self.pixels / max(self.pixels.sum(), 1)

    def rows(self) -> list[tuple[str, float, int]]:
        """Name, share of the pixels and number of examples of each value, for a table; the most frequent first."""
        order = np.argsort(-self.pixels, kind="stable")
        return [(self.names[i], float(self.share[i]), int(self.examples[i])) for i in order]


def count_classes(batches: Iterable[Padded], layout: Layout) -> ClassCounts:
    """Counts the classes of `LayoutPart.batches`; padding and unreadable examples do not count."""
    values = len(layout.value_names)
    pixels, examples, total = np.zeros(values, np.int64), np.zeros(values, np.int64), 0
    for padded in batches:
        for label in padded.batch["label"][padded.mask]:
            count = np.bincount(label.ravel(), minlength=values)
            pixels += count
            examples += count > 0
            total += 1
    return ClassCounts(layout.value_names, pixels, examples, total)
