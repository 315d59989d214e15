"""How good generated images of layouts are: a segmenter of our own, distances of features, and what the styles do.

Published mIoU and accuracies are those of large networks that were never released with the papers, and differ by ten
points with the treatment of unknown pixels. Here a small U-Net is trained on the real training pairs; its score on
real test images is the ceiling of what a generated image can reach.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, UInt8

from experiments import cli
from experiments.synthesis.feature_networks import FeatureNetwork, open_features, open_lpips
from experiments.synthesis.synthesiser import Synthesiser
from jaxmodels.features.lpips import Backbone
from train.bounds import AtLeast
from train.data import layout_world
from train.data.label_examples import LayoutFiles
from train.data.layout_parts import Batch, LayoutData, LayoutPart
from train.errors import UserError
from train.layout import Layout
from train.metrics.feature_distances import (
    Coverage,
    KernelDistance,
    Moments,
    frechet_distance,
    in_batches,
    kernel_distance,
    precision_recall,
)
from train.metrics.hue import hue_distance, mean_hue
from train.metrics.segmentation import (
    Unknown,
    confusion_matrix,
    constant_prediction,
    segmentation_scores,
)
from train.steps import segmenter
from train.steps.segmenter import SegmenterConfig

UNKNOWN: tuple[Unknown, ...] = ("excluded", "errors", "class")
CLOSE = np.pi / 5
"""36 degrees: a fifth of the circle of hues lies within them on either side."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How good the images are, measured on the test part."""

    images: Annotated[int, AtLeast(4)] = 2000
    """Test pairs that are used, at most."""
    batch_size: Annotated[int, AtLeast(1)] = 16
    """Images per call of a network."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The U-Net that reads layouts from images."""
    segmenter_images: Annotated[int, AtLeast(1)] = 5000
    """Real training pairs that it learns from, at most."""
    style_pairs: Annotated[int, AtLeast(1)] = 100
    """Pairs (layout, image of another style), with a style encoder."""
    styles: Annotated[int, AtLeast(2)] = 5
    """Styles of each layout for the diversity."""
    features: FeatureNetwork = "efficientnet-lite0"
    """Network of Frechet distance and KID; the distance is called FID only with `inception-fid`."""
    feature_weights: Path | None = None
    """Weights of that network; without them those distances are not measured."""
    lpips: Backbone = "alexnet"
    """Network of LPIPS, for the diversity over styles."""
    lpips_weights: Path | None = None
    """ImageNet weights of that network."""
    lpips_heads: Path | None = None
    """The heads of LPIPS v0.1."""


class FeatureScores(NamedTuple):
    """Between the features of generated and real images."""

    frechet: float
    kernel: KernelDistance
    coverage: Coverage


class StyleScores(NamedTuple):
    """What a style taken from another image does to the object of a layout."""

    followed: Float[np.ndarray, " n"]
    """Angle between the object's mean hue and that of the object the style is of, in radians; NaN for grey."""
    generated: Float[np.ndarray, " n"]
    wanted: Float[np.ndarray, " n"]


class SynthesisScores(NamedTuple):
    """How good the images of a run are, per seed where it is a sequence."""

    layout: Layout
    images: int
    real: Int[np.ndarray, "K+1 K+1"]
    """Confusion of the segmenter on real test images: the ceiling."""
    fake: Sequence[Int[np.ndarray, "K+1 K+1"]]
    features: Sequence[FeatureScores]
    real_features: FeatureScores | None
    """Between two halves of the real test images: what a perfect generator would get."""
    style: Sequence[StyleScores]
    diversity: Sequence[float]
    """Mean LPIPS between images of one layout in different styles."""
    spread: Sequence[float]
    """Mean over pixels of the standard deviation over styles, in units of 0 .. 255."""


def check_evaluation(config: EvaluateConfig, data: LayoutData) -> None:
    """Raises UserError for settings that can't be measured with."""
    if config.segmenter_images < config.segmenter.batch_size:
        problem = f"must be at least a batch of {config.segmenter.batch_size}"
        raise UserError("--evaluate.segmenter-images", config.segmenter_images, problem, "give e.g. 1024")
    if (config.lpips_weights is None) != (config.lpips_heads is None):
        remedy = "name both --evaluate.lpips-weights and --evaluate.lpips-heads"
        raise UserError("--evaluate.lpips-heads", config.lpips_heads, "LPIPS needs two files", remedy)
    weights = config.segmenter.class_weights
    if weights and len(weights) != data.layout.classes:
        problem = f"are not one for each of the {data.layout.classes} classes"
        raise UserError("--evaluate.segmenter.class-weights", weights, problem, "give as many, or none")
    unit = config.segmenter.patch * 2 ** (len(config.segmenter.widths) - 1)
    if data.layout.height % unit or data.layout.width % unit:
        problem = (
            f"needs images of a multiple of {unit} pixels, not {data.layout.height} x {data.layout.width}"
        )
        raise UserError("--evaluate.segmenter.widths", config.segmenter.widths, problem, "give fewer levels")
    if len(data.test) < 2:
        remedy = "give more pairs, a larger --data.test-share, or a test set of its own"
        raise UserError("the test part", f"{len(data.test)} pairs", "two are needed to measure", remedy)


def open_networks(config: EvaluateConfig) -> None:
    """Opens the networks of `measure`, so that a file that can't be read stops a run before it trains.

    Raises:
      UserError: weights that can't be read, or are another network's.
    """
    if config.feature_weights is not None:
        open_features(config.features, config.feature_weights)
    if config.lpips_weights is not None and config.lpips_heads is not None:
        open_lpips(config.lpips, config.lpips_weights, config.lpips_heads)


def measure(
    models: Sequence[Synthesiser], data: LayoutData, config: EvaluateConfig, seed: int
) -> SynthesisScores:
    """Trains the segmenter, generates the test part, and measures."""
    test = read(data.test, config.images)
    segment = train_segmenter(data, config, seed)
    classes = data.layout.classes
    real = confusion_matrix(test["label"], segment(test["image"]), classes)
    blind = segmentation_scores(constant_prediction(real)).mean_iou
    found = segmentation_scores(real).mean_iou
    cli.say(f"segmenter on real test images: mIoU {found:.3f} (one class everywhere: {blind:.3f})")
    fakes = [model.images(test, own_styles(model, test)) for model in models]
    fake = [confusion_matrix(test["label"], segment(images), classes) for images in fakes]
    styled = [model for model in models if model.config.vae]
    pairs = [follow_styles(model, test, config) for model in styled if data.name == layout_world.NAME]
    features, ceiling = _features(test["image"], fakes, config)
    diversity, spread = _diversity(styled, test, config)
    return SynthesisScores(
        data.layout, len(test["image"]), real, fake, features, ceiling, pairs, diversity, spread
    )


def read(part: LayoutPart, limit: int) -> Batch:
    """The first examples of a part that can be read, on the host."""
    batches = [
        {name: array[padded.mask] for name, array in padded.batch.items()}
        for padded in part.batches(min(64, len(part)), limit)
    ]
    if not any(len(batch["label"]) for batch in batches):
        flag = part.source.flags[1] if isinstance(part.source, LayoutFiles) else "--data.source"
        raise UserError(flag, len(part), "are the pairs, and none can be read", "replace them")
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def own_styles(model: Synthesiser, batch: Batch) -> Float[np.ndarray, "n z"] | None:
    """The styles of the real images of the layouts, as the official test code takes them."""
    return model.styles(batch["image"]) if model.config.vae else None


def train_segmenter(
    data: LayoutData, config: EvaluateConfig, seed: int
) -> Callable[[UInt8[np.ndarray, "n h w 3"]], Int[np.ndarray, "n h w"]]:
    """A U-Net trained on real training pairs: images -> classes."""
    settings = config.segmenter
    pairs = read(data.train, config.segmenter_images)
    settings = replace(settings, batch_size=min(settings.batch_size, len(pairs["image"])))
    state = jax.jit(partial(segmenter.init_state, config=settings, classes=data.layout.classes))(
        jax.random.key(seed)
    )
    step = jax.jit(partial(segmenter.train_step, config=settings), donate_argnums=0)
    for rows in _random_rows(len(pairs["image"]), settings, seed):
        state, _ = step(state, {"image": pairs["image"][rows], "label": pairs["label"][rows]})
    classify = jax.jit(partial(segmenter.segment, config=settings))
    size = config.batch_size
    return lambda images: np.concatenate(
        list(in_batches(partial(_on_host, classify, state.params), images, size))
    )


def _on_host(classify: Callable, params: PyTree, images: np.ndarray) -> np.ndarray:
    return np.asarray(classify(params, images))


def _random_rows(count: int, settings: SegmenterConfig, seed: int) -> Iterator[Int[np.ndarray, " b"]]:
    generator = np.random.default_rng(seed)
    for _ in range(settings.steps):
        yield generator.choice(count, settings.batch_size, replace=False)


def follow_styles(model: Synthesiser, test: Batch, config: EvaluateConfig) -> StyleScores:
    """Each layout in the style of the next image: does the object take that image's hue?"""
    chosen = {name: array[: config.style_pairs] for name, array in test.items()}
    objects = chosen["label"] >= layout_world.CUBE
    z = np.roll(model.styles(chosen["image"]), -1, axis=0)
    wanted = np.roll(mean_hue(chosen["image"], objects), -1)
    generated = mean_hue(model.images(chosen, z), objects)
    return StyleScores(hue_distance(generated, wanted), generated, wanted)


def close_share(followed: Float[np.ndarray, " n"]) -> float:
    """The share of angles within 36 degrees; an object without a hue follows nothing."""
    close: Bool[np.ndarray, " n"] = np.nan_to_num(followed, nan=np.pi) <= CLOSE
    return float(close.mean())


def _features(
    real: np.ndarray, fakes: Sequence[np.ndarray], config: EvaluateConfig
) -> tuple[list[FeatureScores], FeatureScores | None]:
    if config.feature_weights is None:
        return [], None
    network = open_features(config.features, config.feature_weights)

    def of(images: np.ndarray) -> Float[np.ndarray, "n d"]:
        return np.concatenate(list(in_batches(network, images, config.batch_size)))

    wanted, half = of(real), len(real) // 2
    ceiling = _feature_scores(wanted[:half], wanted[half : 2 * half])
    return [_feature_scores(of(images), wanted) for images in fakes], ceiling


def _feature_scores(fake: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"]) -> FeatureScores:
    size = min(len(fake), len(real))
    return FeatureScores(
        frechet_distance(Moments.of(fake), Moments.of(real)),
        # Of no more than a subset's images there is one subset, all of them.
        kernel_distance(fake, real, subsets=100 if size > 1000 else 1, size=min(1000, size)),
        precision_recall(real, fake, neighbours=min(5, size - 1)),
    )


def _diversity(
    models: Sequence[Synthesiser], test: Batch, config: EvaluateConfig
) -> tuple[list[float], list[float]]:
    """Mean LPIPS and standard deviation between images of one layout in styles drawn from N(0, I)."""
    chosen = {name: array[: config.style_pairs] for name, array in test.items()}
    count, lpips = len(chosen["label"]), None
    if config.lpips_weights is not None and config.lpips_heads is not None:
        lpips = open_lpips(config.lpips, config.lpips_weights, config.lpips_heads)
    distances, spread = [], []
    for model in models if count else ():
        images = [model.images(chosen, model.draw_styles(count, seed)) for seed in range(config.styles)]
        spread.append(float(np.stack(images).astype(np.float32).std(0).mean()))
        if lpips is not None:
            neighbours = zip(images, [*images[1:], images[0]], strict=True)
            distances.append(float(np.mean([lpips(a, b).mean() for a, b in neighbours])))
    return distances, spread
