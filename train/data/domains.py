"""The same digits in two domains: as they are, and changed in a way that keeps their classes."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from train.data.digits import Images
from train.feed import Feed

Domain = Literal["coloured", "inverted", "rotated"]
"""`coloured`: the absolute difference of the digit and a colour gradient of its own, as MNIST-M is of photographs.
`inverted`: dark on white. `rotated`: by a quarter turn."""
BRIGHTEST = 0.5
"""Of the gradients: a digit stays brighter than its background."""
TARGET = 1
"""Folded into a seed's key for the order of the target's examples."""


def in_colour(images: Images) -> Images:
    """Grey images with three equal channels."""
    return Images(np.repeat(images.image[..., None], 3, axis=-1), images.label)


def to_domain(images: Images, domain: Domain, seed: int) -> Images:
    """Grey images changed and with three channels; a function of its arguments only.

    Args:
      images: grey.
      domain: how they are changed.
      seed: of the gradients of `coloured`, one for each image.
    """
    whole = in_colour(images)
    match domain:
        case "coloured":
            background = _gradients(seed, *images.image.shape)
            return Images(np.abs(background - whole.image), images.label)
        case "inverted":
            return Images(1 - whole.image, images.label)
        case "rotated":
            return Images(np.ascontiguousarray(np.rot90(whole.image, axes=(1, 2))), images.label)
    raise ValueError(f"domain {domain!r} is unknown: choose coloured, inverted or rotated")


def _gradients(seed: int, count: int, height: int, width: int) -> Float[np.ndarray, "n h w 3"]:
    """Bilinear between four random colours of [0, BRIGHTEST] at the corners."""
    corners = np.random.RandomState(seed).random_sample((count, 2, 2, 3))
    down, right = np.linspace(0, 1, height), np.linspace(0, 1, width)
    rows, columns = np.stack([1 - down, down]), np.stack([1 - right, right])
    return BRIGHTEST * np.einsum("nijc,ih,jw->nhwc", corners, rows, columns).astype(np.float32)


@dataclass(frozen=True)
class TwoDomains:
    """A feed of batches {"source", "target"}, each from a feed of its own and in an order of its own."""

    source: Feed
    target: Feed
    per_seed: bool = False

    def chunk(self, step: int, count: int) -> PyTree:
        """The arrays of both."""
        return self.source.chunk(step, count), self.target.chunk(step, count)

    def batch(
        self, chunk: PyTree, order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> dict[str, Any]:
        """A batch of either domain."""
        source, target = chunk
        other_key = jax.random.fold_in(order_key, TARGET)
        return {
            "source": self.source.batch(source, order_key, step, offset),
            "target": self.target.batch(target, other_key, step, offset),
        }
