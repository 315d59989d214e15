"""LPIPS v0.1, the perceptual distance of two images (Zhang, Isola, Efros, Shechtman & Wang, CVPR 2018)."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.features.alexnet import AlexNet
from jaxmodels.features.vgg import VGG, VGG16_LPIPS

Backbone = Literal["alexnet", "vgg16"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the channels: ImageNet's mean and deviation for images in [-1, 1]."""
EPSILON = 1e-10


class LPIPS(nn.Module):
    """d(a, b) = sum_l mean_hw sum_c w_lc (f_l(a)_c / |f_l(a)| - f_l(b)_c / |f_l(b)|)^2 (eq. 1), of images in [-1, 1].

    The weights w of each layer are not negative, so that the distance isn't either; it is 0 where a = b. As v0.1 has
    it, the square is weighted, and not the difference before it is squared as in the paper's equation: w is its w^2.

    Parameters: `backbone`, those of AlexNet or of VGG16, and `heads_0`, ..., w of each layer.
    """

    network: Backbone = "alexnet"

    @nn.compact
    def __call__(self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
        module = AlexNet if self.network == "alexnet" else VGG
        arguments = () if self.network == "alexnet" else (VGG16_LPIPS,)
        backbone = module(*arguments, name="backbone")
        both = jnp.concatenate([a, b])
        shift, scale = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (SHIFT, SCALE))
        distance = jnp.zeros(len(a))
        for layer, features in enumerate(backbone((both - shift) / scale)):
            of_a, of_b = jnp.split(unit(features), 2)
            weights = self.param(f"heads_{layer}", nn.initializers.ones, (features.shape[-1],))
            distance += jnp.mean((of_a - of_b) ** 2 @ weights, axis=(1, 2))
        return distance


def unit(features: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Of length 1 over channels; where all are zero they stay so, with gradient 0."""
    square = jnp.sum(features**2, axis=-1, keepdims=True)
    length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return features / (length + EPSILON)
