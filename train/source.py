"""What is fed: a set of examples that is read a batch at a time, on the host or inside a jitted step."""

from collections.abc import Mapping
from typing import Protocol

import jax
import numpy as np
from jaxtyping import Array, Int


class Source(Protocol):
    """A set of examples, each an `image` and, where they are known, its `factors`.

    Attributes:
      name: what the data are, for reports: `shapes3d-procedural`, `shapes3d`, or the stem of a file.
      arrays: what has to be placed on the device for `take`, each with one row per example; host arrays or
        memory maps, and nothing at all for a procedural source.
      spec: shape and dtype of one example.
      factor_names: one per factor; () where no factors are known.
      factor_sizes: how many values each factor has; () where no factors are known.
    """

    @property
    def name(self) -> str: ...
    @property
    def arrays(self) -> Mapping[str, np.ndarray]: ...
    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]: ...
    @property
    def factor_names(self) -> tuple[str, ...]: ...
    @property
    def factor_sizes(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Int[np.ndarray, "B"]) -> dict[str, np.ndarray]:
        """The examples of an index array, on the host."""
        ...

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The examples of an index array, on the device: pure, to be traced inside the training step.

        Args:
          arrays: `self.arrays`, placed; an argument, so that the data never become a constant of the program.
          index: int32 rows in [0, len(self)).
        """
        ...

    def index_with_factors(self, factors: Int[np.ndarray, "B F"]) -> Int[np.ndarray, "B"]:
        """The row of each combination of factors.

        Raises:
          UserError: the source does not hold every combination exactly once.
        """
        ...
