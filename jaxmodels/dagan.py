"""The generator of DAGAN (Tang, Bai and Sebe, "Dual Attention GANs for Semantic Image Synthesis", ACM MM 2020).

It is SPADE's generator with two attentions in front of the last layer; everything else of DAGAN is SPADE. The paper
calls the one position-wise and lets the other see all scales; the official code, which is the default here, gates
pixels by a convolution of mean and maximum over channels, and takes one earlier scale.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.resize import nearest
from jaxmodels.layers.square_convolution import Conv
from jaxmodels.spade import Style, Trunk, Upsampling, to_image


class SpatialAttention(nn.Module):
    """x sigmoid(conv([mean over channels, max over channels])): one gate per pixel (SAM)."""

    size: int = 3
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        pooled = jnp.stack([x.mean(-1), x.max(-1)], axis=-1)
        return x * nn.sigmoid(self.style.conv(1, self.size, name="conv", bias=False)(pooled))


class ChannelAttention(nn.Module):
    """w x + sum of the earlier scales, with one gate w per channel from the global means of all of them (CAM).

    w = sigmoid(conv2(ReLU(conv1(means)))); all inputs are of one shape. The official code has one earlier scale.
    """

    style: Style = Style()

    @nn.compact
    def __call__(
        self, earlier: list[Float[Array, "b h w c"]], x: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        means = jnp.concatenate([*earlier, x], axis=-1).mean((1, 2), keepdims=True)
        conv = self.style.conv
        gate = nn.sigmoid(
            conv(x.shape[-1], 1, name="conv2")(nn.relu(conv(x.shape[-1], 1, name="conv1")(means)))
        )
        return gate * x + sum(earlier)


class DAGANGenerator(nn.Module):
    """Layout [b, h, w, S], and z [b, z_dim] where the style is a latent -> image [b, h, w, 3] in (-1, 1).

    At width 64 and `normal` or `more` this is the official generator, which has no other width and no `most`: other
    widths reduce 2 nf to nf, and `most` takes what enters its last block (nf to nf // 2). These are extensions.
    """

    width: int = 64
    upsampling: Upsampling = "normal"
    style: Style = Style()
    scales: int = 1
    """Earlier scales that the channel attention sees; above 1 the paper's multi-scale form, an extension: each is
    reduced by a convolution of its own and enlarged to the image."""
    spatial_size: int = 3
    """Kernel of the spatial attention, 3 or 7."""

    @nn.compact
    def __call__(
        self, layout: Float[Array, "b h w s"], z: Float[Array, "b z"] | None, train: bool
    ) -> Float[Array, "b h w 3"]:
        *entering, x = Trunk(self.width, self.upsampling, self.style, name="trunk")(layout, z, train)
        earlier = [
            nearest(self._reduction(i, x.shape[-1])(y), *x.shape[1:3])
            for i, y in enumerate(entering[: -1 - self.scales : -1])
        ]
        by_channel = ChannelAttention(self.style, name="cab")(earlier, x)
        by_position = SpatialAttention(self.spatial_size, self.style, name="spatialAtt")(x)
        return to_image(by_channel + by_position, self.style)

    def _reduction(self, index: int, features: int) -> Conv:
        return self.style.conv(features, name="conv_64" if index == 0 else f"conv_64_{index}")
