"""The multi-scale PatchGAN discriminator of pix2pixHD and SPADE (Wang et al. 2018, section 3.2; Park et al. 2019)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.image_norm import ImageNorm, normalised
from jaxmodels.layers.initialisers import ImageInit, image_initialiser
from jaxmodels.layers.resize import average_pool
from jaxmodels.layers.square_convolution import Conv
from jaxmodels.spade import leaky_relu

Features = list[list[Float[Array, "b _ _ _"]]]


class PatchDiscriminator(nn.Module):
    """4x4 convolutions with padding 2: [b, h, w, c] -> the output of every stage, the logits [b, i, j, 1] last.

    The first and the last stage have no norm and no spectral norm, as in the code (the paper: spectral norm on all).
    """

    width: int = 64
    layers: int = 4
    norm: ImageNorm = "instance"
    spectral: bool = True
    initialiser: ImageInit = "xavier"
    gain: float = 0.02
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> list[Float[Array, "b _ _ _"]]:
        features = self.width
        stages = [leaky_relu(self._conv(features, 2, "model0")(x))]
        for n in range(1, self.layers):
            features = min(2 * features, 512)
            stride = 1 if n == self.layers - 1 else 2
            conv = self._conv(features, stride, f"model{n}", bias=self.norm == "none", spectral=self.spectral)
            x = normalised(conv(stages[-1], train), self.norm, train, f"model{n}_norm", self.gain)
            stages.append(leaky_relu(x))
        return [*stages, self._conv(1, 1, f"model{self.layers}")(stages[-1])]

    def _conv(self, features: int, stride: int, name: str, bias: bool = True, spectral: bool = False) -> Conv:
        init = image_initialiser(self.initialiser, self.gain)
        return Conv(features, 4, stride, 2, bias, spectral, init, self.dtype, name=name)


class MultiScaleDiscriminator(nn.Module):
    """`scales` discriminators of [layout, image]: copy i sees the input average-pooled i times.

    Returns for every scale the outputs of all its stages; the last one holds the logits.
    """

    scales: int = 2
    patch: PatchDiscriminator = PatchDiscriminator(parent=None)

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Features:
        features = []
        for i in range(self.scales):
            features.append(self.patch.clone(parent=self, name=f"discriminator_{i}")(x, train))
            x = average_pool(x)
        return features
