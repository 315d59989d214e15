"""Zero-shot learning in the procedural world: 40 classes of objects, 10 of them unseen; nothing to download.

A class is a hue and a shape of the object; floor, wall, size and orientation differ from image to image and no
two images share them all. Every second hue has two unseen shapes, chosen by hand: each hue is seen in two other
shapes or in all four, each shape in seven or eight hues. So all that describes an unseen class occurs among the
seen ones, and only the combination is new; among the unseen classes both hue and shape matter.

Image features are 252 non-negative numbers from a fixed network of random weights that nothing was trained on.
At the default size, linear discriminants that train on half of the unseen images as well reach S .93, U .94,
H .94. Ridge regression to the attributes (Euclidean, alpha 1) reaches S .94, U .51, H .67, and .74 among the
unseen classes alone (chance .1); H is .51 for alpha 10 and .74 for 0.1. As on photographs, it mistakes unseen
images for seen classes. Classes and network were laid out by such numbers of these two alone.
"""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from train.data import shapes3d
from train.data.source import ProceduralShapes3D
from train.data.split import split_indices
from train.data.zero_shot import ATTRIBUTES, ZeroShotData

NAME = "shapes3d-procedural-zero-shot"
HUES = ("red", "orange", "lime", "green", "mint", "cyan", "azure", "indigo", "purple", "pink")
SHAPES = ("cube", "cylinder", "sphere", "capsule")
CLASSES = len(HUES) * len(SHAPES)
UNSEEN = ((0, 0), (0, 1), (2, 2), (2, 3), (4, 1), (4, 2), (6, 3), (6, 0), (8, 0), (8, 2))
VALIDATION = ((1, 0), (1, 1), (3, 2), (3, 3), (5, 1), (5, 2), (7, 3), (7, 0))
NUISANCE_SIZES = (10, 10, 8, 15)
MAX_IMAGES = 300
FILTERS, CELLS = 28, 3
FEATURES = CELLS * CELLS * FILTERS
IMAGES_AT_ONCE = 128


def shapes3d_classes(images_per_class: int = 60, seed: int = 0) -> ZeroShotData:
    """The benchmark; of a seen class four fifths of the images train, of an unseen class all test.

    Class k is hue k // 4 and shape k % 4; rows are in the order of classes. Eight seen classes, chosen as the
    unseen ones are, are set aside for validation.

    Args:
      images_per_class: from 5 to 300.
      seed: chooses floor, wall, size and orientation of the images; classes and features never change.

    Raises:
      ValueError: `images_per_class` out of range.
    """
    if not 5 <= images_per_class <= MAX_IMAGES:
        raise ValueError(f"images_per_class must lie in [5, {MAX_IMAGES}], not {images_per_class}")
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), images_per_class)
    images = ProceduralShapes3D()[shapes3d.factors_to_index(_factors(labels, seed))]["image"]
    unseen = np.isin(labels, _ids(UNSEEN))
    trains = np.arange(len(labels)) % images_per_class < images_per_class - round(images_per_class / 5)
    trainval, test_seen, test_unseen = (
        np.flatnonzero(rows).astype(np.int32) for rows in (~unseen & trains, ~unseen & ~trains, unseen)
    )
    return ZeroShotData(
        name=NAME,
        features=np.asarray(jax.jit(feature_map)(jnp.asarray(images))),
        labels=labels,
        attributes={ATTRIBUTES: attributes()},
        class_names=tuple(f"{hue} {shape}" for hue in HUES for shape in SHAPES),
        trainval=trainval,
        test_seen=test_seen,
        test_unseen=test_unseen,
        validation_classes=_ids(VALIDATION),
    )


def _ids(pairs: tuple[tuple[int, int], ...]) -> Int[np.ndarray, "K"]:
    """The classes of pairs of hue and shape, ascending."""
    return np.array(sorted(hue * len(SHAPES) + shape for hue, shape in pairs), np.int32)


def attributes() -> Float[np.ndarray, "40 9"]:
    """The description of each class: its shape one-hot, cosine and sine of its hue, and red, green and blue."""
    shape = np.tile(np.eye(len(SHAPES)), (len(HUES), 1))
    turns = np.arange(len(HUES)) / len(HUES)
    circle = np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], -1)
    colour = np.array([colorsys.hsv_to_rgb(turn, 1, 1) for turn in turns])
    hue = np.repeat(np.concatenate([circle, colour], -1), len(SHAPES), axis=0)
    return np.concatenate([shape, hue], -1).astype(np.float32)


def feature_map(images: UInt8[Array, "N 64 64 3"]) -> Float[Array, "N 252"]:
    """A fixed network: random colour filters per pixel, random 5 x 5 filters at stride 2, means over 3 x 3 cells.

    It sees the middle 34 x 34 pixels, where the object is, in [-1, 1]. The weights are drawn from a generator
    that NumPy promises not to change.
    """
    random = np.random.RandomState(0)
    layers = [_random_layer(random, 1, 3, 24), _random_layer(random, 5, 24, FILTERS)]

    def features(image: UInt8[Array, "64 64 3"]) -> Float[Array, "252"]:
        x = image[23:57, 15:49].astype(jnp.float32) / 127.5 - 1
        x = _convolve(x, *layers[0], stride=1)
        x = _convolve(x, *layers[1], stride=2)
        return x.reshape(CELLS, 5, CELLS, 5, FILTERS).mean((1, 3)).reshape(FEATURES)

    return jax.lax.map(features, images, batch_size=IMAGES_AT_ONCE)


def _random_layer(
    random: np.random.RandomState, size: int, inputs: int, outputs: int
) -> tuple[Float[np.ndarray, "size size inputs outputs"], Float[np.ndarray, "outputs"]]:
    """Kernel (He et al., 2015) and bias."""
    kernel = random.randn(size, size, inputs, outputs) * np.sqrt(2 / (size * size * inputs))
    return kernel.astype(np.float32), (0.1 * random.randn(outputs)).astype(np.float32)


def _convolve(
    x: Float[Array, "H W I"], kernel: np.ndarray, bias: np.ndarray, stride: int
) -> Float[Array, "h w O"]:
    """A convolution without padding, and the rectifier."""
    y = jax.lax.conv_general_dilated(
        x[None],
        jnp.asarray(kernel),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )
    return jax.nn.relu(y[0] + jnp.asarray(bias)[None, None, :])


def _factors(labels: Int[np.ndarray, "N"], seed: int) -> Int[np.ndarray, "N 6"]:
    """All factors of images of these classes; a hash chooses those that don't belong to the class."""
    order = split_indices(int(np.prod(NUISANCE_SIZES)), (1.0, 0.0, 0.0), seed).train
    floor, wall, scale, orientation = np.unravel_index(order[: len(labels)], NUISANCE_SIZES)
    hue, shape = np.divmod(labels, len(SHAPES))
    return np.stack([floor, wall, hue, scale, shape, orientation], -1).astype(np.int32)
