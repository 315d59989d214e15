"""The convolutional features that the domain adaptation of CLUB is made of (Cheng et al., ICML 2020)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.max_pool import max_pool

SLOPE = 0.1


class DomainFeatures(nn.Module):
    """Images [b, h, w, c] to features [b, channels[-1]].

    Blocks of 3 x 3 convolutions with batch norm and leaky ReLU; between blocks, 2 x 2 maxima, dropout and normal noise,
    the last two only with `train`; at the end the mean over positions. As in the official code, batch norm has the
    statistics of the batch at hand in training and in use alike: features depend on the batch.

    Attributes:
      channels: of each block; 2 ** (blocks - 1) is the least side of an image.
      convolutions: of each block.
      dropout: share of what is dropped.
      noise: its standard deviation.
    """

    channels: tuple[int, ...] = (96, 192, 192)
    convolutions: int = 3
    dropout: float = 0.5
    noise: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b f"]:
        for block, width in enumerate(self.channels):
            if block:
                x = nn.Dropout(self.dropout, deterministic=not train)(max_pool(x))
                if train:
                    x = x + self.noise * jax.random.normal(self.make_rng("noise"), x.shape)
            for _ in range(self.convolutions):
                x = nn.leaky_relu(BatchStatistics()(SameConv(width)(x)), SLOPE)
        return jnp.mean(x, axis=(1, 2))


class SameConv(nn.Module):
    """3 x 3 convolution with zeros around the image and no bias, Glorot initialisation.

    On CPU a product of matrices: XLA's convolutions took ten times as long there inside a loop of steps.
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        return jax.lax.platform_dependent(x, kernel, cpu=as_product, default=as_convolution)


def as_convolution(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c f"]) -> Float[Array, "b h w f"]:
    """What `SameConv` computes."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def as_product(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c f"]) -> Float[Array, "b h w f"]:
    """The same: nine shifted images side by side, times the kernel as a matrix."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


class BatchStatistics(nn.Module):
    """Batch normalisation without moving averages: whatever the batch, its own mean and biased variance.

    Attributes:
      epsilon: added to the variance; that of TensorFlow.
    """

    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        axes, shape = tuple(range(x.ndim - 1)), (1,) * (x.ndim - 1) + x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        centred = x - jnp.mean(x, axis=axes, keepdims=True)
        deviation = jnp.sqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + self.epsilon)
        return centred / deviation * scale.reshape(shape) + bias.reshape(shape)
