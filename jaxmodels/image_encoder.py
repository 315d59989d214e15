"""The style encoder of SPADE's VAE path: image -> q(z | image)."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.image_norm import ImageNorm, normalised
from jaxmodels.layers.initialisers import ImageInit, image_initialiser
from jaxmodels.layers.resize import bilinear
from jaxmodels.layers.square_convolution import Conv
from jaxmodels.spade import leaky_relu


class ImageEncoder(nn.Module):
    """[b, h, w, 3] in [-1, 1] -> (mu, logvar), each [b, latent_dim].

    The image is resized to `size` (256 in the official code, a power of two), halved by 3x3 convolutions down to
    4x4, and read by two linear heads. The official code drops the last of its six convolutions for images below 256
    pixels, and then crashes at the heads; here there are as many as `size` needs. Instance norm, the official default,
    takes the mean colour of an image out of what follows; `none` leaves it in.
    """

    width: int = 64
    latent_dim: int = 256
    size: int = 256
    norm: ImageNorm = "instance"
    spectral: bool = True
    initialiser: ImageInit = "xavier"
    gain: float = 0.02
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], train: bool
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        init = image_initialiser(self.initialiser, self.gain)
        x = bilinear(image, self.size, self.size)
        for i in range(round(math.log2(self.size // 4))):
            features = self.width * min(2**i, 8)
            bias = self.norm == "none"
            conv = Conv(features, 3, 2, 1, bias, self.spectral, init, self.dtype, name=f"layer{i + 1}")
            x = conv(x, train)
            x = leaky_relu(normalised(x, self.norm, train, f"layer{i + 1}_norm", self.gain))
        # In the order of the official code: channels, rows, columns.
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1).astype(jnp.float32)
        mu, logvar = (
            nn.Dense(self.latent_dim, kernel_init=init, name=name)(flat) for name in ("fc_mu", "fc_var")
        )
        return mu, logvar
