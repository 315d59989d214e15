"""Label maps as pictures."""

import numpy as np
from jaxtyping import Int, UInt8

CITYSCAPES = np.array(
    [
        *[(0, 0, 0)] * 5, (111, 74, 0), (81, 0, 81), (128, 64, 128), (244, 35, 232), (250, 170, 160),
        (230, 150, 140), (70, 70, 70), (102, 102, 156), (190, 153, 153), (180, 165, 180), (150, 100, 100),
        (150, 120, 90), (153, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0), (107, 142, 35),
        (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100),
        (0, 0, 90), (0, 0, 110), (0, 80, 100), (0, 0, 230), (119, 11, 32), (0, 0, 142),
    ],
    np.uint8,
)  # fmt: skip
"""The public colours of Cityscapes' 35 `labelIds`."""


def palette(values: int) -> UInt8[np.ndarray, "values 3"]:
    """One colour for each value of a label map: Cityscapes' own for 35 values, else those of `bit_colours`.

    (The official code further recolours five classes of COCO-Stuff.)
    """
    return CITYSCAPES if values == len(CITYSCAPES) else bit_colours(values)


def bit_colours(values: int) -> UInt8[np.ndarray, "values 3"]:
    """Colours in the style of VOC: the bits of value + 1, taken by threes, are those of red, green and blue.

    The lowest three bits become the highest of the three channels, so that near values look far apart.
    """
    number = np.arange(1, values + 1)[:, None]
    colours = np.zeros((values, 3), np.int64)
    for j in range(7):
        colours |= (number >> (3 * j + np.arange(3)) & 1) << (7 - j)
    return colours.astype(np.uint8)


def colour_labels(labels: Int[np.ndarray, "*shape"], values: int) -> UInt8[np.ndarray, "*shape 3"]:
    """The picture of label maps.

    Args:
      labels: in [0, values).
      values: how many values they may take: the classes, and one more where pixels may be unknown.
    """
    return palette(values)[labels]
