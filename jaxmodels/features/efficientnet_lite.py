"""EfficientNet-Lite0, a classifier of ImageNet for small machines (after Tan & Le, "EfficientNet", ICML 2019).

The Lite variants have ReLU6 instead of Swish and no squeeze-and-excitation; their stem and head keep their widths.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.batch_norm import BatchNorm

SIDE = 224
MEAN, DEVIATION = 127.0, 128.0
"""Of pixels that count from 0 to 255."""
STEM, FEATURES, CLASSES = 32, 1280, 1000
EPSILON = 1e-3


class Stage(NamedTuple):
    """Blocks of one width: the first has the stride."""

    blocks: int
    size: int
    stride: int
    expansion: int
    width: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """Images [b, h, w, 3] in [-1, 1] to the 1280 features that are pooled before the classes, in eval mode.

    The images are resized to 224 x 224, bilinearly, with an antialias filter where that is smaller. Variables: those of
    `stem`, `block_0`, ... and `head`, each layer a convolution and a batch norm, and of `classes`.
    """

    stages: tuple[Stage, ...] = LITE0
    side: int = SIDE

    def setup(self):
        self.stem = Layer(STEM, 3, 2)
        self.block = [
            Block(stage.size, stage.stride if i == 0 else 1, stage.expansion, stage.width)
            for stage in self.stages
            for i in range(stage.blocks)
        ]
        self.head = Layer(FEATURES)
        self.classes = nn.Dense(CLASSES)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b 1280"]:
        x = (127.5 * (x + 1) - MEAN) / DEVIATION
        x = self.stem(jax.image.resize(x, (len(x), self.side, self.side, 3), "bilinear"))
        for block in self.block:
            x = block(x)
        return jnp.mean(self.head(x), axis=(1, 2))

    def logits(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b 1000"]:
        """Of the classes of ImageNet."""
        return self.classes(self(x))


class Block(nn.Module):
    """Inverted residual: 1 x 1 to `expansion` times the channels, depthwise, 1 x 1 to `width` without activation."""

    size: int
    stride: int
    expansion: int
    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j f"]:
        channels = x.shape[-1]
        inside = channels * self.expansion
        out = Layer(inside, name="expand")(x) if self.expansion > 1 else x
        out = Layer(inside, self.size, self.stride, depthwise=True, name="depthwise")(out)
        out = Layer(self.width, activation=False, name="project")(out)
        return x + out if self.stride == 1 and channels == self.width else out


class Layer(nn.Module):
    """Convolution without bias, padded as TensorFlow pads, then batch norm in eval mode, then ReLU6."""

    features: int
    size: int = 1
    stride: int = 1
    depthwise: bool = False
    activation: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j f"]:
        groups = self.features if self.depthwise else 1
        x = nn.Conv(
            self.features,
            (self.size, self.size),
            self.stride,
            "SAME",
            feature_group_count=groups,
            use_bias=False,
            name="convolution",
        )(x)
        x = BatchNorm(epsilon=EPSILON, name="norm")(x, train=False)
        return jnp.clip(x, 0, 6) if self.activation else x
