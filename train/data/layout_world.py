"""Layouts with photos from the 3D Shapes scene: `shapes3d-procedural-layouts`, nothing to download.

The layout is what the rays through the pixels' centres meet, whatever colour it has: seven classes, and an
instance of its own for each of the three walls. It does not tell the hues of floor, wall and object, so of each
layout there are a thousand photos, and a style encoder has something to encode.

Rendering inside the step costs about 1 ms an image of 64 x 64 on a CPU, a hundredth of a training step, so
nothing is rendered ahead.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from train.data import shapes3d
from train.data.split import Split, split_indices
from train.layout import Layout

NAME = "shapes3d-procedural-layouts"
SKY, FLOOR, WALL, CUBE, CYLINDER, SPHERE, CAPSULE = range(7)
CLASS_NAMES = ("sky", "floor", "wall", "cube", "cylinder", "sphere", "capsule")
CLASS_OF_SURFACE = (SKY, FLOOR, WALL, WALL, WALL, CUBE, CYLINDER, SPHERE, CAPSULE, FLOOR)
"""By the labels of `train.data.scene`; a shadow is floor."""
INSTANCE_OF_SURFACE = (0, 1, 2, 3, 4, 5, 5, 5, 5, 1)
"""Sky, floor, back wall, left wall, right wall and the object."""
RENDERED_AT_ONCE = 16


@dataclass(frozen=True)
class LayoutWorld:
    """All 480,000 scenes as layouts with photos, rendered when they are asked for; an `Examples` of `train.feed`.

    Attributes:
      size: pixels along either side.
    """

    size: int = shapes3d.IMAGE_SHAPE[0]
    name = NAME

    @property
    def layout(self) -> Layout:
        """Seven classes, none unknown, with instances."""
        return Layout(len(CLASS_NAMES), False, True, self.size, self.size, CLASS_NAMES)

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """Nothing: an example is a function of its row."""
        return {}

    @functools.cached_property
    def parts(self) -> Split:
        """The rows of the training, validation and test parts, eight, one and one tenth of the scenes.

        All 480 layouts occur in each part; the combination of a layout with three hues is in one part alone.
        """
        return split_indices(shapes3d.SIZE)

    def __len__(self) -> int:
        return shapes3d.SIZE

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The batch of these rows, rendered inside the compiled program; `arrays` is empty."""
        del arrays
        return render_layouts(shapes3d.index_to_factors(index), self.size)

    def read(self, rows: Int[np.ndarray, "B"]) -> tuple[dict[str, np.ndarray], Bool[np.ndarray, "B"]]:
        """The batch of these rows on the host, and that all of them could be read."""
        return self[rows], np.ones(len(rows), bool)

    def __getitem__(self, rows: Int[np.ndarray, "B"]) -> dict[str, np.ndarray]:
        """The batch of these rows, on the host."""
        factors, rendered = shapes3d.index_to_factors(np.asarray(rows)), []
        for start in range(0, len(factors), RENDERED_AT_ONCE):
            some = factors[start : start + RENDERED_AT_ONCE]
            # Always the same shape, which compiles once.
            padded = np.resize(some, (RENDERED_AT_ONCE, some.shape[1]))
            batch = jax.device_get(_render(jnp.asarray(padded), self.size))
            rendered.append({key: array[: len(some)] for key, array in batch.items()})
        return {key: np.concatenate([batch[key] for batch in rendered]) for key in rendered[0]}


def render_layouts(factors: Int[Array, "B 6"], size: int) -> dict[str, Array]:
    """Label map, instance map and photo of each scene, as `train.layout` defines a batch.

    Args:
      factors: of `train.data.shapes3d`; the first three, the hues, show in the photo alone.
      size: pixels along either side.
    """
    surface = shapes3d.label_map_batch(factors, size)
    return {
        "label": jnp.asarray(CLASS_OF_SURFACE, jnp.int32)[surface],
        "instance": jnp.asarray(INSTANCE_OF_SURFACE, jnp.int32)[surface],
        "image": shapes3d.render_batch(factors, size),
    }


_render = functools.partial(jax.jit, static_argnums=1)(render_layouts)
