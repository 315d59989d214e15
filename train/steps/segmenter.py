"""One update of the U-Net that evaluates semantic synthesis: cross entropy of the class of every known pixel.

The evaluators of SPADE and DAGAN are large networks that were not published with them. Trained on the real pairs of a
set, this one says how much of a layout a generated image shows; its score on held-out real images is the ceiling.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Num, PyTree

from jaxmodels.unet import UNet
from train.bounds import AtLeast, Must, NonEmpty, Positive
from train.devices import on_any_mesh
from train.steps.image_types import require_floats
from train.update import Metrics, State, fresh, noise_key, single_loss

MULTIPLE_OF_4 = Must(lambda width: width > 0 and width % 4 == 0, "a multiple of 4")


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Settings of the segmenter."""

    widths: Annotated[tuple[Annotated[int, MULTIPLE_OF_4], ...], NonEmpty()] = (16, 32, 64, 64)
    """Channels of each level of the U-Net, from the top down."""
    convolutions: Annotated[int, AtLeast(1)] = 1
    """3 x 3 convolutions of each level, down and up."""
    patch: Annotated[int, AtLeast(1)] = 2
    """Side of the squares of pixels that are one position of the top level; 1 is the published U-Net."""
    learning_rate: Annotated[float, Positive()] = 1e-2
    """Initial learning rate of Adam."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Schedule of the learning rate: down to 0 along a cosine until `steps`, or constant."""
    steps: Annotated[int, AtLeast(1)] = 1000
    """Number of updates."""
    batch_size: Annotated[int, AtLeast(1)] = 8
    """Images per update."""
    flip: bool = True
    """Mirror every image, with its layout, with probability 1/2."""
    class_weights: tuple[Annotated[float, AtLeast(0)], ...] = ()
    """Weight of the pixels of each class; () weighs all pixels alike."""


SegmenterState = State
"""params: of the U-Net."""


def network(config: SegmenterConfig, classes: int) -> UNet:
    """The U-Net."""
    return UNet(classes, config.widths, config.convolutions, config.patch)


def init_state(key: jax.Array, config: SegmenterConfig, classes: int) -> SegmenterState:
    """A fresh state. The key initialises it and seeds the flips of every later update."""
    run_key, key = jax.random.split(key)
    side = config.patch * 2 ** (len(config.widths) - 1)
    params = network(config, classes).init(key, jnp.zeros((1, side, side, 3)))["params"]
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: SegmenterConfig) -> optax.GradientTransformation:
    """Adam with the schedule of its learning rate."""
    if config.schedule == "cosine":
        return optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    return optax.adam(config.learning_rate)


@on_any_mesh
def train_step(
    state: SegmenterState, batch: Mapping[str, Array], config: SegmenterConfig
) -> tuple[SegmenterState, Metrics]:
    """One update.

    Args:
      state: before the update.
      batch: "image" [b, h, w, 3], bytes or [-1, 1], and "label" int [b, h, w]; a label outside the classes is unknown.
      config: see there.

    Returns:
      The state, and the metrics loss and accuracy (the share of the known pixels that are right), before the update.
    """
    x, label = pixels_of(batch["image"]), batch["label"]
    if config.flip:
        x, label = flipped(x, label, noise_key(state))
    return single_loss(objective, optimiser(config))(state, x, label, config)


def flipped(
    x: Float[Array, "b h w 3"], label: Int[Array, "b h w"], key: jax.Array
) -> tuple[Float[Array, "b h w 3"], Int[Array, "b h w"]]:
    """Images and layouts, each pair mirrored from left to right with probability 1/2."""
    mirrored = jax.random.bernoulli(key, 0.5, (len(x), 1, 1))
    return jnp.where(mirrored[..., None], x[:, :, ::-1], x), jnp.where(mirrored, label[:, :, ::-1], label)


def eval_step(
    state: SegmenterState, batch: Mapping[str, Array], key: jax.Array, config: SegmenterConfig
) -> Metrics:
    """The metrics of `train_step` on images as they are; `key` is not used."""
    del key
    return objective(state.params, pixels_of(batch["image"]), batch["label"], config)[1]


def objective(
    params: PyTree, x: Float[Array, "b h w 3"], label: Int[Array, "b h w"], config: SegmenterConfig
) -> tuple[Float[Array, ""], Metrics]:
    """Cross entropy, mean over the known pixels of the batch, weighted by class where there are weights."""
    scores = logits(params, x, config)
    classes = scores.shape[-1]
    known = (label >= 0) & (label < classes)
    label = jnp.where(known, label, 0)
    weights = jnp.asarray(config.class_weights or (1.0,) * classes)
    if len(weights) != classes:
        raise ValueError(f"{len(weights)} class weights for {classes} classes")
    weight = jnp.where(known, weights[label], 0)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels(scores, label)
    loss = jnp.sum(weight * cross_entropy) / jnp.maximum(jnp.sum(weight), 1e-12)
    right = jnp.sum(known & (jnp.argmax(scores, axis=-1) == label))
    return loss, {"loss": loss, "accuracy": right / jnp.maximum(jnp.sum(known), 1)}


def logits(params: PyTree, x: Float[Array, "b h w 3"], config: SegmenterConfig) -> Float[Array, "b h w k"]:
    """Of the class of every pixel."""
    classes = params["logits"]["bias"].shape[-1] // config.patch**2
    out: Any = network(config, classes).apply({"params": params}, x)
    return out


def segment(params: PyTree, images: Num[Array, "b h w 3"], config: SegmenterConfig) -> Int[Array, "b h w"]:
    """The most probable class of every pixel of images in bytes or [-1, 1]."""
    return jnp.argmax(logits(params, pixels_of(images), config), axis=-1)


def pixels_of(images: Num[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Bytes as numbers of [-1, 1]; floats as they are.

    Raises:
      TypeError: they are neither bytes nor floats.
    """
    return images / 127.5 - 1 if images.dtype == jnp.uint8 else require_floats(images, low=-1)
