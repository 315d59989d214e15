"""Features of VGG16 and VGG19 (Simonyan & Zisserman, ICLR 2015), as perceptual losses and LPIPS take them."""

from typing import NamedTuple

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.max_pool import max_pool
from jaxmodels.layers.square_convolution import Conv

WIDTHS = (64, 128, 256, 512, 512)


class Taps(NamedTuple):
    """Which convolutions a network has in each of its five blocks, and after which (counted from 1) it is tapped."""

    convolutions: tuple[int, ...]
    tapped: tuple[int, ...]


VGG16_LPIPS = Taps((2, 2, 3, 3, 3), (2, 2, 3, 3, 3))
"""relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of VGG16."""
VGG19_PERCEPTUAL = Taps((2, 2, 4, 4, 4), (1, 1, 1, 1, 1))
"""relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of VGG19, the taps of pix2pixHD, SPADE and DAGAN."""


class VGG(nn.Module):
    """Images [b, h, w, 3] to the features after the ReLU of five convolutions; h and w at least 16.

    Nothing is done to the images: the perceptual loss of SPADE gives them in [-1, 1], LPIPS shifted and scaled. The
    layers after the last tap don't exist. Parameters: conv_0, conv_1, ..., the 3 x 3 convolutions in their order.
    """

    taps: Taps

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        found, number = [], 0
        for block, width in enumerate(WIDTHS):
            if block:
                x = max_pool(x)
            for i in range(1, layers_of(self.taps, block) + 1):
                x = jax.nn.relu(Conv(width, name=f"conv_{number}")(x))
                number += 1
                if i == self.taps.tapped[block]:
                    found.append(x)
        return tuple(found)


def layers_of(taps: Taps, block: int) -> int:
    """The convolutions of a block that the network needs."""
    return taps.tapped[block] if block == len(WIDTHS) - 1 else taps.convolutions[block]
