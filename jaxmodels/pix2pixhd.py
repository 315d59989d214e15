"""The generator of pix2pixHD (Wang et al., CVPR 2018), the baseline "pix2pixHD++" of the SPADE paper.

It sees the layout as an ordinary image, and every normalisation may wash it out: what SPADE was made against.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.initialisers import image_initialiser
from jaxmodels.layers.instance_norm import instance_norm
from jaxmodels.layers.spectral_norm import spectral_norm
from jaxmodels.layers.square_convolution import Conv, convolve
from jaxmodels.spade import Style


class Pix2PixHDGenerator(nn.Module):
    """Layout [b, h, w, S], h and w multiples of 2^downsamplings -> image [b, h, w, 3] in (-1, 1).

    All convolutions but the last have spectral norm (where the style says so) and instance norm, and no bias.
    """

    width: int = 64
    downsamplings: int = 4
    blocks: int = 9
    style: Style = Style()

    @nn.compact
    def __call__(self, layout: Float[Array, "b h w s"], z: None, train: bool) -> Float[Array, "b h w 3"]:
        nf, top = self.width, self.downsamplings
        x = nn.relu(self._normalised(reflect(layout, 3), nf, "model1", train, size=7))
        for i in range(top):
            x = self._normalised(x, nf * 2 ** (i + 1), f"down_{i}", train, stride=2, padding=1)
            x = nn.relu(x)
        for i in range(self.blocks):
            h = nn.relu(self._normalised(reflect(x, 1), nf * 2**top, f"block_{i}_0", train))
            x = x + self._normalised(reflect(h, 1), nf * 2**top, f"block_{i}_1", train)
        for i in reversed(range(top)):
            x = TransposedConv(nf * 2**i, self.style, name=f"up_{i}")(x, train)
            x = nn.relu(instance_norm(x))
        init = image_initialiser(self.style.init, self.style.gain)
        out = Conv(3, 7, padding=0, kernel_init=init, dtype=self.style.dtype, name="conv_img")(reflect(x, 3))
        return jnp.tanh(out.astype(jnp.float32))

    def _normalised(
        self,
        x: jax.Array,
        features: int,
        name: str,
        train: bool,
        size: int = 3,
        stride: int = 1,
        padding: int = 0,
    ) -> jax.Array:
        init = image_initialiser(self.style.init, self.style.gain)
        conv = Conv(
            features, size, stride, padding, False, self.style.spectral, init, self.style.dtype, name=name
        )
        return instance_norm(conv(x, train))


class TransposedConv(nn.Module):
    """3x3 transposed convolution, stride 2, padding 1, output padding 1: [b, h, w, c] -> [b, 2h, 2w, features]."""

    features: int
    style: Style

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b 2*h 2*w f"]:
        init = image_initialiser(self.style.init, self.style.gain)
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        if self.style.spectral:
            kernel = spectral_norm(self, kernel, train)
        batch, height, width, channels = x.shape
        dtype = self.style.dtype
        spread = (
            jnp.zeros((batch, height, 2, width, 2, channels), dtype).at[:, :, 0, :, 0].set(x.astype(dtype))
        )
        spread = spread.reshape(batch, 2 * height, 2 * width, channels)
        return convolve(spread, kernel.astype(dtype), 1)


def reflect(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b _ _ c"]:
    """Padding by reflection, which does not repeat the border."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="reflect")
