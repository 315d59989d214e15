"""Differentiable augmentation of what a discriminator sees (Zhao et al., "Differentiable Augmentation for
Data-Efficient GAN Training", NeurIPS 2020), for images in [-1, 1] that come with a layout.

The same draw is meant for a generated image and the real one of its layout, and moves the layout with the image: a
discriminator of pairs must not see them torn apart.
"""

from collections.abc import Collection
from typing import Literal

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Augmentation = Literal["colour", "translation", "cutout"]


class Draw(flax.struct.PyTreeNode):
    """Uniform numbers in [0, 1), one column per example."""

    colour: Float[Array, "3 b"]
    """Brightness, saturation, contrast."""
    shift: Float[Array, "2 b"]
    centre: Float[Array, "2 b"]


def draw(key: jax.Array, size: int) -> Draw:
    """What `augment` needs for `size` examples."""
    numbers = jax.random.uniform(key, (7, size))
    return Draw(colour=numbers[:3], shift=numbers[3:5], centre=numbers[5:])


def augment(
    draw: Draw,
    layout: Float[Array, "b h w s"],
    image: Float[Array, "b h w 3"],
    kinds: Collection[Augmentation],
) -> tuple[Float[Array, "b h w s"], Float[Array, "b h w 3"]]:
    """The pair, augmented.

    `colour`: brightness +-0.5, saturation x [0, 2), contrast x [0.5, 1.5). `translation`: up to an eighth of the size,
    zeros move in. `cutout`: a square of half the size becomes zero, in the image only.
    """
    if "colour" in kinds:
        image = _colour(draw.colour, image)
    if "translation" in kinds:
        both = _translate(draw.shift, jnp.concatenate([layout, image], axis=-1))
        layout, image = both[..., :-3], both[..., -3:]
    if "cutout" in kinds:
        image = _cut_out(draw.centre, image)
    return layout, image


def _colour(numbers: jax.Array, image: jax.Array) -> jax.Array:
    brightness, saturation, contrast = numbers.reshape(3, -1, 1, 1, 1)
    image = image + brightness - 0.5
    grey = image.mean(-1, keepdims=True)
    image = grey + 2 * saturation * (image - grey)
    mean = image.mean((1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (image - mean)


def _translate(numbers: jax.Array, x: jax.Array) -> jax.Array:
    _, height, width, _ = x.shape
    most = (height // 8, width // 8)
    starts = [jnp.floor(n * (2 * m + 1)).astype(jnp.int32) for n, m in zip(numbers, most, strict=True)]

    def move(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        padded = jnp.pad(image, ((most[0],) * 2, (most[1],) * 2, (0, 0)))
        return jax.lax.dynamic_slice(padded, (row, column, jnp.zeros((), row.dtype)), image.shape)

    return jax.vmap(move)(x, *starts)


def _cut_out(centre: jax.Array, image: jax.Array) -> jax.Array:
    _, height, width, _ = image.shape
    top, left = centre.reshape(2, -1, 1, 1)
    rows, columns = jnp.arange(height).reshape(1, -1, 1), jnp.arange(width).reshape(1, 1, -1)
    hole = (jnp.abs(rows - top * height) < height / 4) & (jnp.abs(columns - left * width) < width / 4)
    return jnp.where(hole[..., None], 0.0, image)
