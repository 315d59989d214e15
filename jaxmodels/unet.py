"""U-Net (Ronneberger, Fischer & Brox, "U-Net", MICCAI 2015) with padded convolutions: a class for every pixel."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.dense import Dense
from jaxmodels.layers.max_pool import max_pool
from jaxmodels.layers.square_convolution import Conv


class UNet(nn.Module):
    """Images [b, h, w, c] to logits [b, h, w, classes]; h and w are multiples of patch 2 ** (len(widths) - 1).

    Each level has `convolutions` 3 x 3 convolutions; between levels, 2 x 2 maxima on the way down and 2 x 2 transposed
    convolutions of stride 2 on the way up, beside which stand the features of the way down at that size. Unlike in the
    paper the convolutions see zeros around the image, so that sizes stay, and are normalised: over groups of channels
    of one image, so that the classes of an image do not depend on the others in its batch.

    Attributes:
      classes: of the output.
      widths: channels of each level, from the top down; the paper's are (64, 128, 256, 512, 1024).
      convolutions: of each level, down and up.
      patch: side of the squares of pixels that the first level sees as one position, with all their pixels as its
        channels, and whose pixels it classifies each by itself. 1 is the paper's network, 2 a quarter of its time.
      groups: groups of channels; divides every width.

    Raises:
      ValueError: the images' size is not such a multiple.
    """

    classes: int
    widths: tuple[int, ...] = (16, 32, 64)
    convolutions: int = 2
    patch: int = 1
    groups: int = 4

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w k"]:
        multiple = self.patch * 2 ** (len(self.widths) - 1)
        if x.shape[1] % multiple or x.shape[2] % multiple:
            raise ValueError(f"sides of {x.shape[1]} x {x.shape[2]} images must be multiples of {multiple}")
        x, passed = into_channels(x, self.patch), []
        for level, width in enumerate(self.widths):
            if level:
                passed.append(x)
                x = max_pool(x)
            x = self._convolutions(x, width, f"down_{level}")
        for level in reversed(range(len(passed))):
            width = self.widths[level]
            larger = out_of_channels(Dense(4 * width, name=f"enlarge_{level}")(x), 2)
            x = self._convolutions(jnp.concatenate([passed[level], larger], -1), width, f"up_{level}")
        return out_of_channels(Dense(self.patch**2 * self.classes, name="logits")(x), self.patch)

    def _convolutions(self, x: Float[Array, "b h w c"], width: int, name: str) -> Float[Array, "b h w f"]:
        for i in range(self.convolutions):
            convolution = f"{name}_convolution_{i}"
            x = Conv(width, use_bias=False, kernel_init=nn.initializers.he_normal(), name=convolution)(x)
            norm = nn.GroupNorm(self.groups, epsilon=1e-5, use_fast_variance=False, name=f"{name}_norm_{i}")
            x = jax.nn.relu(norm(x))
        return x


def into_channels(x: Float[Array, "b h w c"], side: int) -> Float[Array, "b h/s w/s s*s*c"]:
    """The pixels of each square as channels of one position, in the order (row, column, channel)."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // side, side, width // side, side, channels)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


def out_of_channels(x: Float[Array, "b h w s*s*c"], side: int) -> Float[Array, "b s*h s*w c"]:
    """The inverse of `into_channels`. After a dense layer: a transposed convolution of that side and stride."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height, width, side, side, channels // side**2)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, side * height, side * width, -1)
