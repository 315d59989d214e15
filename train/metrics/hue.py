"""The mean hue of a part of an image, as an angle on the circle of hues: red 0, green 2 pi / 3, blue 4 pi / 3."""

import numpy as np
from jaxtyping import Bool, Float, Num


def mean_hue(
    images: Num[np.ndarray, "*batch H W 3"], mask: Bool[np.ndarray, "*batch H W"]
) -> Float[np.ndarray, "*batch"]:
    """Returns the mean of HSV's hue over the pixels of a mask, in radians in (-pi, pi].

    It is the direction of the mean of the hues as unit vectors, each weighed by the pixel's saturation: grey
    pixels have no hue and do not count.

    Args:
      images: RGB in any unit, not negative.
      mask: the pixels that count.

    Returns:
      One angle per image; NaN where no pixel of the mask has a colour.
    """
    hue, saturation = hue_and_saturation(images)
    mean = np.sum(np.where(mask, saturation, 0) * np.exp(1j * hue), axis=(-2, -1))
    return np.where(np.abs(mean) > 1e-9, np.angle(mean), np.nan)


def hue_and_saturation(
    images: Num[np.ndarray, "*shape 3"],
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Returns hue, in radians in [-pi / 3, 5 pi / 3), and saturation, in [0, 1], of HSV; both 0 for grey."""
    red, green, blue = np.moveaxis(np.asarray(images, np.float64), -1, 0)
    largest = np.maximum(np.maximum(red, green), blue)
    chroma = largest - np.minimum(np.minimum(red, green), blue)
    scale = np.where(chroma > 0, chroma, 1)
    sixths = np.where(
        largest == red,
        (green - blue) / scale,
        np.where(largest == green, 2 + (blue - red) / scale, 4 + (red - green) / scale),
    )
    return np.pi / 3 * sixths, chroma / np.where(largest > 0, largest, 1)


def hue_distance(
    a: Float[np.ndarray, "*shape"], b: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Returns the angle between two hues, in radians in [0, pi]; NaN where either has none."""
    return np.abs(np.angle(np.exp(1j * (np.asarray(a) - np.asarray(b)))))
