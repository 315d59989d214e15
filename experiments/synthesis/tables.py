"""The tables of a run on semantic layouts."""

from collections.abc import Callable

import numpy as np

from experiments.synthesis.measures import UNKNOWN, EvaluateConfig, SynthesisScores, close_share
from train.data.label_counts import count_classes
from train.data.layout_parts import LayoutData
from train.metrics.segmentation import (
    SegmentationScores,
    chance_prediction,
    constant_prediction,
    segmentation_scores,
)
from train.report.tables import NO_NUMBER, Interval, Table

COUNTED = 1000
"""Training pairs whose classes are counted."""
NO_SHARE = "no ceiling"
BLIND = {"constant": constant_prediction, "chance": chance_prediction}
"""Predictions that look at no image."""
SCORES: dict[str, Callable[[SegmentationScores], float]] = {
    "mIoU": lambda s: s.mean_iou,
    "pixel accuracy": lambda s: s.pixel_accuracy,
    "frequency-weighted IoU": lambda s: s.frequency_weighted_iou,
    "mean class accuracy": lambda s: s.mean_class_accuracy,
}


def segmentation_table(measured: SynthesisScores) -> Table:
    """Scores of generated images beside the ceiling and what takes no image, with unknown pixels each way."""
    rows = []
    for unknown in UNKNOWN if measured.layout.dont_care else UNKNOWN[:1]:
        real = segmentation_scores(measured.real, unknown)
        fakes = [segmentation_scores(confusion, unknown) for confusion in measured.fake]
        label = f", unknown {_meaning(unknown)}" if measured.layout.dont_care else ""
        for name, of in SCORES.items():
            values, ceiling = np.asarray([of(scores) for scores in fakes]), of(real)
            blind = [of(segmentation_scores(make(measured.real), unknown)) for make in BLIND.values()]
            meaningful = is_ceiling(ceiling, max(blind))
            share = Interval.of(values / ceiling) if meaningful else NO_SHARE
            rows.append([name + label, Interval.of(values), ceiling, *blind, share])
    caption = (
        f"Our own U-Net, trained on real training pairs, on {measured.images:,} generated test images of "
        f"{measured.layout.width} x {measured.layout.height} pixels; ceiling: on the real ones"
    )
    note = (
        "Constant: the most frequent class everywhere; chance: classes drawn by how often they occur. Neither sees an "
        f"image. {NO_SHARE[0].upper()}{NO_SHARE[1:]}: the segmenter does too little better than they on real images."
    )
    return Table(caption, ["", "generated", "real (ceiling)", *BLIND, "share of the ceiling"], rows, note)


def is_ceiling(real: float, blind: float) -> bool:
    """Whether a score on real images is one to compare with: a tenth of the way from one without images to 1."""
    return real - blind > 0.1 * (1 - blind)


def _meaning(unknown: str) -> str:
    return {"excluded": "not counted", "errors": "counted as errors", "class": "a class of its own"}[unknown]


def feature_tables(measured: SynthesisScores, config: EvaluateConfig) -> list[Table]:
    """Frechet distance, KID, precision and recall; none without weights."""
    if not measured.features or measured.real_features is None:
        return []
    name = "FID" if config.features == "inception-fid" else f"Frechet distance ({config.features})"
    kernel = "KID" if config.features == "inception-fid" else f"kernel distance ({config.features})"
    half, scores = measured.real_features, measured.features
    rows = [
        [name, Interval.of([s.frechet for s in scores]), half.frechet],
        [kernel, Interval.of([s.kernel.mean for s in scores]), half.kernel.mean],
        ["precision", Interval.of([s.coverage.precision for s in scores]), half.coverage.precision],
        ["recall", Interval.of([s.coverage.recall for s in scores]), half.coverage.recall],
        ["density", Interval.of([s.coverage.density for s in scores]), half.coverage.density],
        ["coverage", Interval.of([s.coverage.coverage for s in scores]), half.coverage.coverage],
    ]
    caption = (
        f"Features of {measured.images:,} generated and as many real test images; beside it one half of the real ones "
        "against the other, which is fewer images and therefore a larger distance than none"
    )
    return [Table(caption, ["", "generated", "real halves"], rows)]


def style_tables(measured: SynthesisScores, config: EvaluateConfig) -> list[Table]:
    """What styles do; none without a style encoder."""
    rows = []
    if measured.style:
        shares = Interval.of([close_share(style.followed) for style in measured.style])
        rows.append(["objects within 36 degrees of the hue of the style's object", shares, 0.2])
    if measured.diversity:
        rows.append(
            [
                f"LPIPS ({config.lpips}) between {config.styles} styles of one layout",
                Interval.of(measured.diversity),
                0.0,
            ]
        )
    if measured.spread:
        rows.append(["standard deviation over styles, of 255", Interval.of(measured.spread), 0.0])
    return (
        [Table("Styles taken from other images, or drawn", ["", "generated", "chance"], rows)] if rows else []
    )


def class_scores_table(measured: SynthesisScores) -> Table:
    """The IoU of each class beside that of real images and of what sees none."""
    real = segmentation_scores(measured.real)
    fakes = np.stack([segmentation_scores(confusion).iou for confusion in measured.fake])
    names = measured.layout.value_names
    blind = [segmentation_scores(make(measured.real)).iou for make in BLIND.values()]
    rows = [
        [names[i], Interval.of(fakes[:, i]), float(real.iou[i]), *(float(iou[i]) for iou in blind)]
        for i in range(measured.layout.classes)
    ]
    heads = ["class", "generated", "real", *BLIND]
    return Table(f"IoU of each class; {NO_NUMBER}: not in the test part", heads, rows)


def class_counts_table(data: LayoutData) -> Table:
    """How often each class occurs in training."""
    counts = count_classes(data.train.batches(min(64, len(data.train)), COUNTED), data.layout)
    rows = [list(row) for row in counts.rows()]
    return Table(
        f"Classes of {counts.total:,} training pairs", ["class", "share of pixels", "images with it"], rows
    )
