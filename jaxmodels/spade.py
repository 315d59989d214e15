"""SPADE, the generator of GauGAN (Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive
Normalization", CVPR 2019), as the official code has it.

Where paper and code differ, this is the code: its latent grid at 256x256 is 8x8 with five upsamplings (the paper
draws 4x4 with six), and spectral norm is on the residual blocks' convolutions only (the paper says on all layers).
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.batch_norm import BatchNorm
from jaxmodels.layers.initialisers import ImageInit, image_initialiser
from jaxmodels.layers.instance_norm import instance_norm
from jaxmodels.layers.resize import nearest, upsample
from jaxmodels.layers.square_convolution import Conv, convolve

Upsampling = Literal["normal", "more", "most"]
SPADENorm = Literal["instance", "batch", "syncbatch"]
UPSAMPLINGS = {"normal": 5, "more": 6, "most": 7}


@dataclass(frozen=True, kw_only=True)
class Style:
    """What every layer of a generator shares."""

    norm: SPADENorm = "syncbatch"
    """Normalisation that is modulated. `batch` is `syncbatch`: the statistics are those of the global batch."""
    kernel: int = 3
    """Odd size of the kernels that make the modulation of the layout."""
    hidden: int = 128
    """Channels between the layout and the modulation; in the official code 128 whatever the width."""
    spectral: bool = True
    """Spectral norm on the residual blocks' convolutions."""
    init: ImageInit = "xavier"
    gain: float = 0.02
    remat: bool = False
    """Recompute each residual block in the backward pass instead of keeping what it computed."""
    dtype: jnp.dtype = jnp.float32

    def conv(
        self, features: int, size: int = 3, *, name: str, bias: bool = True, spectral: bool = False
    ) -> Conv:
        """A convolution of these settings."""
        init = image_initialiser(self.init, self.gain)
        return Conv(
            features,
            size,
            use_bias=bias,
            spectral=spectral and self.spectral,
            minimal=True,
            kernel_init=init,
            dtype=self.dtype,
            name=name,
        )


class SPADE(nn.Module):
    """norm(x) (1 + gamma(s)) + beta(s): normalisation modulated by the layout (paper, eq. 1).

    gamma and beta are convolutions of one hidden map ReLU(conv(s)); s is the layout at the size of x.
    """

    style: Style

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], layout: Float[Array, "b i j s"], train: bool
    ) -> Float[Array, "b h w c"]:
        features, size = x.shape[-1], self.style.kernel
        if self.style.norm == "instance":
            normalised = instance_norm(x)
        else:
            normalised = BatchNorm(affine=False, name="param_free_norm")(x, train)
        at_size = nearest(layout, *x.shape[1:3])
        hidden = nn.relu(self.style.conv(self.style.hidden, size, name="shared")(at_size))
        gamma, beta = (Modulation(features, self.style, name=name)() for name in ("gamma", "beta"))
        gamma, beta = _two_convolutions(hidden, gamma, beta, size // 2)
        return normalised * (1 + gamma) + beta


def _two_convolutions(
    x: jax.Array, first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array], padding: int
) -> tuple[jax.Array, jax.Array]:
    """Both convolutions of x, as one where x is larger than the kernels that have to be copied for it."""
    pairs, apply = (first, second), partial(convolve, padding=padding, minimal=True)
    if x.size < sum(kernel.size for kernel, _ in pairs):
        out = [apply(x, kernel.astype(x.dtype)) + bias.astype(x.dtype) for kernel, bias in pairs]
        return out[0], out[1]
    kernel, bias = (jnp.concatenate(both, -1) for both in zip(*pairs, strict=True))
    both = apply(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)
    return both[..., : both.shape[-1] // 2], both[..., both.shape[-1] // 2 :]


class Modulation(nn.Module):
    """The parameters (kernel, bias) of one of SPADE's two last convolutions, which are applied together."""

    features: int
    style: Style

    @nn.compact
    def __call__(self) -> tuple[Float[Array, "k k hidden c"], Float[Array, "1 1 1 c"]]:
        size = self.style.kernel
        init = image_initialiser(self.style.init, self.style.gain)
        kernel = self.param("kernel", init, (size, size, self.style.hidden, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return kernel, bias.reshape(1, 1, 1, -1)


class SPADEResBlock(nn.Module):
    """shortcut(x) + conv_1(LReLU(SPADE_1(conv_0(LReLU(SPADE_0(x)))))): [b, h, w, c] -> [b, h, w, features].

    The shortcut is x, or conv_s(SPADE_s(x)), 1x1 and without activation, where the number of channels changes.
    """

    features: int
    style: Style

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], layout: Float[Array, "b i j s"], train: bool
    ) -> Float[Array, "b h w f"]:
        style, channels = self.style, x.shape[-1]
        middle = min(channels, self.features)
        shortcut = x
        if channels != self.features:
            shortcut = SPADE(style, name="norm_s")(x, layout, train)
            shortcut = style.conv(self.features, 1, name="conv_s", bias=False, spectral=True)(shortcut, train)
        h = leaky_relu(SPADE(style, name="norm_0")(x, layout, train))
        h = style.conv(middle, name="conv_0", spectral=True)(h, train)
        h = leaky_relu(SPADE(style, name="norm_1")(h, layout, train))
        return shortcut + style.conv(self.features, name="conv_1", spectral=True)(h, train)


def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Slope 0.2, everywhere in SPADE and pix2pixHD."""
    return nn.leaky_relu(x, 0.2)


def latent_grid(height: int, width: int, upsampling: Upsampling) -> tuple[int, int]:
    """(rows, columns) that the generator starts from.

    Raises:
      ValueError: the image isn't a multiple of 2^U, U the number of upsamplings, or has another shape than that.
    """
    factor = 2 ** UPSAMPLINGS[upsampling]
    if height % factor or width % factor or min(height, width) < factor:
        raise ValueError(f"an image of {height} x {width} is not a multiple of {factor} pixels")
    return height // factor, width // factor


class Trunk(nn.Module):
    """The generator up to its last feature map.

    Returns the feature maps that the last layers may use, coarse to fine: what enters the last residual blocks, at
    full size for the last one, and the output of the last block.
    """

    width: int
    """nf: the channels are 16 nf at the start, nf at the end (nf // 2 for `most`)."""
    upsampling: Upsampling
    style: Style

    @nn.compact
    def __call__(
        self, layout: Float[Array, "b h w s"], z: Float[Array, "b z"] | None, train: bool
    ) -> list[Float[Array, "b _ _ _"]]:
        nf, style = self.width, self.style
        block = nn.remat(SPADEResBlock, static_argnums=(3,)) if style.remat else SPADEResBlock
        x = self._start(layout, z)
        x = block(16 * nf, style, name="head_0")(x, layout, train)
        x = block(16 * nf, style, name="G_middle_0")(upsample(x), layout, train)
        x = x if self.upsampling == "normal" else upsample(x)
        x = block(16 * nf, style, name="G_middle_1")(x, layout, train)
        stages = [8 * nf, 4 * nf, 2 * nf, nf, *([nf // 2] if self.upsampling == "most" else [])]
        entering = []
        for i, features in enumerate(stages):
            x = upsample(x)
            entering.append(x)
            x = block(features, style, name=f"up_{i}")(x, layout, train)
        return [*entering, x]

    def _start(self, layout: jax.Array, z: jax.Array | None) -> jax.Array:
        rows, columns = latent_grid(layout.shape[1], layout.shape[2], self.upsampling)
        features = 16 * self.width
        if z is None:
            return self.style.conv(features, name="fc")(nearest(layout, rows, columns))
        init = image_initialiser(self.style.init, self.style.gain)
        flat = nn.Dense(features * rows * columns, kernel_init=init, dtype=self.style.dtype, name="fc")(z)
        # In the order of the official code: channels, rows, columns.
        return flat.reshape(-1, features, rows, columns).transpose(0, 2, 3, 1)


class SPADEGenerator(nn.Module):
    """Layout [b, h, w, S], and z [b, z_dim] where the style is a latent -> image [b, h, w, 3] in (-1, 1)."""

    width: int = 64
    upsampling: Upsampling = "normal"
    style: Style = Style()

    @nn.compact
    def __call__(
        self, layout: Float[Array, "b h w s"], z: Float[Array, "b z"] | None, train: bool
    ) -> Float[Array, "b h w 3"]:
        features = Trunk(self.width, self.upsampling, self.style, name="trunk")(layout, z, train)[-1]
        return to_image(features, self.style)


def to_image(features: Float[Array, "b h w c"], style: Style) -> Float[Array, "b h w 3"]:
    """The last layer of a generator: tanh(conv(LReLU(features))), in float32."""
    return jnp.tanh(style.conv(3, name="conv_img")(leaky_relu(features)).astype(jnp.float32))
