"""The Inception-v3 whose features make a Frechet distance an FID (Szegedy et al., CVPR 2016; Heusel et al. 2017).

The network is TensorFlow's of 2015-12-05 in the form of pytorch-fid, `pt_inception-2015-12-05`. It differs from
torchvision's in its pooling: averages don't count the padding, and the last block takes maxima.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.batch_norm import BatchNorm

SIDE, FEATURES, CLASSES = 299, 2048, 1008
EPSILON = 1e-3
Pool = Literal["average", "max"]


class InceptionFID(nn.Module):
    """Images [b, h, w, 3] in [-1, 1] to the 2048 pooled features ("pool3"), in eval mode.

    The images are resized to 299 x 299 as pytorch-fid does it, bilinearly and without an antialias filter. The layers
    have torchvision's names: `Conv2d_1a_3x3`, ..., `Mixed_7c`, each convolution with `conv` and its batch norm `bn`.
    """

    side: int = SIDE

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b 2048"]:
        x = jax.image.resize(x, (len(x), self.side, self.side, 3), "bilinear", antialias=False)
        x = Layer(32, 3, stride=2, name="Conv2d_1a_3x3")(x)
        x = Layer(32, 3, name="Conv2d_2a_3x3")(x)
        x = Layer(64, 3, padding=1, name="Conv2d_2b_3x3")(x)
        x = nn.max_pool(x, (3, 3), (2, 2))
        x = Layer(80, name="Conv2d_3b_1x1")(x)
        x = Layer(192, 3, name="Conv2d_4a_3x3")(x)
        x = nn.max_pool(x, (3, 3), (2, 2))
        for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
            x = BlockA(pooled, name=f"Mixed_{name}")(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, inside in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            x = BlockC(inside, name=f"Mixed_{name}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE("average", name="Mixed_7b")(x)
        x = BlockE("max", name="Mixed_7c")(x)
        return jnp.mean(x, axis=(1, 2))


class Layer(nn.Module):
    """Convolution without bias, batch norm in eval mode, ReLU; `size` and `padding` of rows and of columns."""

    features: int
    size: int | tuple[int, int] = 1
    stride: int = 1
    padding: int | tuple[int, int] = 0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j f"]:
        rows, columns = (self.padding,) * 2 if isinstance(self.padding, int) else self.padding
        x = nn.Conv(
            self.features,
            (self.size,) * 2 if isinstance(self.size, int) else self.size,
            self.stride,
            [(rows, rows), (columns, columns)],
            use_bias=False,
            name="conv",
        )(x)
        return jax.nn.relu(BatchNorm(epsilon=EPSILON, name="bn")(x, train=False))


def pooled(x: Float[Array, "b h w c"], pool: Pool = "average") -> Float[Array, "b h w c"]:
    """3 x 3 means, of the pixels inside the image, or maxima, at stride 1."""
    if pool == "max":
        return nn.max_pool(x, (3, 3), (1, 1), "SAME")
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


ROW, COLUMN = (1, 7), (7, 1)
"""Sizes of the factors of a 7 x 7 convolution."""


def row(features: int, name: str) -> Layer:
    """1 x 7."""
    return Layer(features, ROW, padding=(0, 3), name=name)


def column(features: int, name: str) -> Layer:
    """7 x 1."""
    return Layer(features, COLUMN, padding=(3, 0), name=name)


class BlockA(nn.Module):
    """1 x 1; 5 x 5; twice 3 x 3; and the mean of the neighbourhood."""

    pooled: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        one = Layer(64, name="branch1x1")(x)
        five = Layer(48, name="branch5x5_1")(x)
        five = Layer(64, 5, padding=2, name="branch5x5_2")(five)
        three = Layer(64, name="branch3x3dbl_1")(x)
        three = Layer(96, 3, padding=1, name="branch3x3dbl_2")(three)
        three = Layer(96, 3, padding=1, name="branch3x3dbl_3")(three)
        around = Layer(self.pooled, name="branch_pool")(pooled(x))
        return jnp.concatenate([one, five, three, around], axis=-1)


class BlockB(nn.Module):
    """To half the size: 3 x 3; twice 3 x 3; and the maximum."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j f"]:
        once = Layer(384, 3, stride=2, name="branch3x3")(x)
        twice = Layer(64, name="branch3x3dbl_1")(x)
        twice = Layer(96, 3, padding=1, name="branch3x3dbl_2")(twice)
        twice = Layer(96, 3, stride=2, name="branch3x3dbl_3")(twice)
        return jnp.concatenate([once, twice, nn.max_pool(x, (3, 3), (2, 2))], axis=-1)


class BlockC(nn.Module):
    """1 x 1; 7 x 7 in two factors; twice that; and the mean of the neighbourhood."""

    inside: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        one = Layer(192, name="branch1x1")(x)
        once = Layer(self.inside, name="branch7x7_1")(x)
        once = row(self.inside, "branch7x7_2")(once)
        once = column(192, "branch7x7_3")(once)
        twice = Layer(self.inside, name="branch7x7dbl_1")(x)
        twice = column(self.inside, "branch7x7dbl_2")(twice)
        twice = row(self.inside, "branch7x7dbl_3")(twice)
        twice = column(self.inside, "branch7x7dbl_4")(twice)
        twice = row(192, "branch7x7dbl_5")(twice)
        around = Layer(192, name="branch_pool")(pooled(x))
        return jnp.concatenate([one, once, twice, around], axis=-1)


class BlockD(nn.Module):
    """To half the size: 3 x 3; 7 x 7 in two factors and 3 x 3; and the maximum."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j f"]:
        three = Layer(192, name="branch3x3_1")(x)
        three = Layer(320, 3, stride=2, name="branch3x3_2")(three)
        seven = Layer(192, name="branch7x7x3_1")(x)
        seven = row(192, "branch7x7x3_2")(seven)
        seven = column(192, "branch7x7x3_3")(seven)
        seven = Layer(192, 3, stride=2, name="branch7x7x3_4")(seven)
        return jnp.concatenate([three, seven, nn.max_pool(x, (3, 3), (2, 2))], axis=-1)


class BlockE(nn.Module):
    """1 x 1; 3 x 3 as 1 x 3 beside 3 x 1; 3 x 3 and the same; and the mean or the maximum of the neighbourhood."""

    pool: Pool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w 2048"]:
        one = Layer(320, name="branch1x1")(x)
        once = self._both(Layer(384, name="branch3x3_1")(x), "branch3x3_2")
        twice = Layer(448, name="branch3x3dbl_1")(x)
        twice = self._both(Layer(384, 3, padding=1, name="branch3x3dbl_2")(twice), "branch3x3dbl_3")
        around = Layer(192, name="branch_pool")(pooled(x, self.pool))
        return jnp.concatenate([one, *once, *twice, around], axis=-1)

    def _both(self, x: Float[Array, "b h w c"], name: str) -> tuple[jax.Array, jax.Array]:
        across = Layer(384, (1, 3), padding=(0, 1), name=f"{name}a")
        down = Layer(384, (3, 1), padding=(1, 0), name=f"{name}b")
        return across(x), down(x)
