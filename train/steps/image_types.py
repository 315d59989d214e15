"""The number format of images, checked while a step is traced: bytes of 0 .. 255, or floats in a range of their own.

A step that divides bytes by 255 would take floats in [0, 1] for nearly black images, and learn without a word.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Num, UInt8


def require_bytes(image: Num[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """The images, if they are uint8.

    Raises:
      TypeError: they are not.
    """
    if image.dtype == jnp.uint8:
        return image
    raise TypeError(
        f"images are uint8, 0 .. 255, and these are {image.dtype}: give (255 * image).round().astype(uint8) of "
        "floats in [0, 1]"
    )


def require_floats(image: Num[Array, "*shape"], low: int = 0) -> Float[Array, "*shape"]:
    """The images, if they are floats, which have to lie in [low, 1].

    Raises:
      TypeError: they are integers.
    """
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image
    scaled = "image / 255" if low == 0 else "image / 127.5 - 1"
    raise TypeError(f"images are floats in [{low}, 1], and these are {image.dtype}: give {scaled} of uint8")
