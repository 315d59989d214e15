"""Sources of images (see `train.source.Source`): rendered when asked for, or stored."""

import dataclasses
import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from train.data import shapes3d
from train.errors import UserError

RENDERED_AT_ONCE = 512
_render_batch = jax.jit(shapes3d.render_batch)


@dataclasses.dataclass(frozen=True)
class ProceduralShapes3D:
    """All 480,000 examples of the 3D Shapes world, rendered when they are asked for."""

    name = "shapes3d-procedural"
    factor_names = shapes3d.FACTOR_NAMES
    factor_sizes = shapes3d.FACTOR_SIZES

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Nothing: an image is a function of its index."""
        return {}

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """One example: uint8 image [64, 64, 3] and int32 factors [6]."""
        return {
            "image": jax.ShapeDtypeStruct(shapes3d.IMAGE_SHAPE, jnp.uint8),
            "factors": jax.ShapeDtypeStruct((len(self.factor_names),), jnp.int32),
        }

    def __len__(self) -> int:
        return shapes3d.SIZE

    def __getitem__(self, index: Int[np.ndarray, "B"]) -> dict[str, np.ndarray]:
        """The examples of an index array, on the host."""
        factors = shapes3d.index_to_factors(np.asarray(index))
        image = np.empty((len(factors), *shapes3d.IMAGE_SHAPE), np.uint8)
        for start in range(0, len(factors), RENDERED_AT_ONCE):
            rows = slice(start, start + RENDERED_AT_ONCE)
            image[rows] = _render_batch(jnp.asarray(factors[rows]))
        return {"image": image, "factors": factors}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The examples of an index array, rendered inside the jitted step; `arrays` is empty."""
        del arrays
        factors = shapes3d.index_to_factors(index)
        return {"image": shapes3d.render_batch(factors), "factors": factors}

    def index_with_factors(self, factors: Int[np.ndarray, "B 6"]) -> Int[np.ndarray, "B"]:
        """The row of each combination of factors."""
        return shapes3d.factors_to_index(np.asarray(factors))


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """Examples that are stored: one array per entry, rows in step.

    Attributes:
      name: what the data are, for reports.
      arrays: `image` uint8 [N, ...] and perhaps `factors` int32 [N, F], in memory or memory-mapped.
      factor_names: one per factor.
      factor_sizes: how many values each factor has.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    factor_names: tuple[str, ...] = ()
    factor_sizes: tuple[int, ...] = ()

    @property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """One example: each array without its first axis."""
        return {key: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for key, a in self.arrays.items()}

    def __len__(self) -> int:
        return len(self.arrays["image"])

    def __getitem__(self, index: Int[np.ndarray, "B"]) -> dict[str, np.ndarray]:
        """The examples of an index array, on the host."""
        return {key: np.asarray(a[index]) for key, a in self.arrays.items()}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The examples of an index array, gathered from the placed arrays inside the jitted step."""
        return {key: a.at[index].get(mode="clip") for key, a in arrays.items()}

    def index_with_factors(self, factors: Int[np.ndarray, "B F"]) -> Int[np.ndarray, "B"]:
        """The row of each combination of factors.

        Raises:
          UserError: the source does not hold every combination exactly once.
        """
        return self._row_of_combination[np.ravel_multi_index(tuple(np.asarray(factors).T), self.factor_sizes)]

    @functools.cached_property
    def _row_of_combination(self) -> Int[np.ndarray, "N"]:
        sizes, rows = self.factor_sizes, np.arange(len(self))
        if sizes and math.prod(sizes) == len(self):
            combination = np.ravel_multi_index(tuple(self.arrays["factors"].T), sizes)
            row = np.full(len(self), -1, np.int32)
            row[combination] = rows
            if (row[combination] == rows).all():
                return row
        raise UserError(
            "--data.source",
            self.name,
            "it does not hold every combination of factors exactly once, as drawing examples by factor needs",
            "use procedural, or the complete 3D Shapes as h5 or tfds",
        )
