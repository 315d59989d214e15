"""The tables, pictures and page of a run on semantic layouts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from experiments import cli
from experiments.run_report import write_run_report
from experiments.synthesis.measures import (
    UNKNOWN,
    EvaluateConfig,
    Measured,
    StyleScores,
    close_share,
    own_styles,
    read,
)
from experiments.synthesis.synthesiser import Synthesiser
from train.data import layout_world
from train.data.label_colours import colour_labels, palette
from train.data.label_counts import count_classes
from train.data.layout_parts import Batch, LayoutData
from train.figures import image_grid
from train.figures.loss_curves import Curve, curves
from train.layout import Layout
from train.metrics.segmentation import (
    SegmentationScores,
    Unknown,
    chance_prediction,
    constant_prediction,
    segmentation_scores,
)
from train.metrics_log import read_metrics
from train.report import Picture, Report, Section, Settings
from train.run_directory import RunDirectory, write_json
from train.tables import NO_NUMBER, Interval, Table, to_text

SHEET = 8
"""Test examples on the sheet."""
GRID = 6
"""Rows and columns of the grids of styles."""
COUNTED = 1000
"""Training pairs whose classes are counted."""
CURVES = (
    "loss_gan",
    "loss_features",
    "loss_vgg",
    "loss_kl",
    "discriminator_on_fake",
    "discriminator_on_real",
    "logits_fake",
    "logits_real",
    "fake_std",
)


def sheet(path: Path, batch: Batch, fake: UInt8[np.ndarray, "n h w 3"], layout: Layout) -> Path:
    """label | fake | real, one column per example, and the names of the labels that occur."""
    names = layout.value_names
    labels = colour_labels(batch["label"], len(names))
    rows, colours = np.stack([labels, fake, batch["image"]]), palette(len(names))
    shown = np.unique(batch["label"])
    legend = [(names[value], tuple(colours[value].tolist())) for value in shown[shown < len(names)].tolist()]
    return image_grid(path, rows, ["label", "fake", "real"], legend=legend)


def write_everything(
    run: RunDirectory,
    title: str,
    models: Sequence[Synthesiser],
    data: LayoutData,
    measured: Measured,
    config: EvaluateConfig,
    step: int,
    settings: Settings,
    reference: Settings,
) -> None:
    """results.json, figures, report.html; prints the tables."""
    run.figures.mkdir(exist_ok=True)
    tables = [segmentation_table(measured)]
    tables += feature_tables(measured, config) + style_tables(measured, config)
    for table in tables:
        cli.say(to_text(table))
    test = read(data.test, max(SHEET, GRID))
    fake = models[0].images(test, own_styles(models[0], test))
    name = run.figures / "test.png"
    samples = Picture(
        sheet(name, test, fake, data.layout), "Test layouts: label, generated, real; first seed."
    )
    sections = [
        Section("Segmentation of generated images", [_protocol(data, measured, config)], tables),
        Section("Samples", pictures=[samples, *style_pictures(run.figures, models[0], test)]),
        Section("Training", pictures=training_pictures(run)),
        Section("Classes", tables=[_per_class(measured), _class_table(data)]),
    ]
    write_json(run.path / "results.json", results(measured, config, step, data))
    write_run_report(
        run,
        Report(
            title=title,
            summary=_summary(measured),
            settings=settings,
            reference=reference,
            notes=_notes(data, config),
            sections=sections,
        ),
    )
    cli.say(f"report: {run.report}")


def segmentation_table(measured: Measured) -> Table:
    """Scores of generated images beside the ceiling and what takes no image, with unknown pixels each way."""
    rows = []
    for unknown in UNKNOWN if measured.layout.dont_care else UNKNOWN[:1]:
        real = segmentation_scores(measured.real, unknown)
        fakes = [segmentation_scores(confusion, unknown) for confusion in measured.fake]
        label = f", unknown {_meaning(unknown)}" if measured.layout.dont_care else ""
        for name, of in _SCORES.items():
            values, ceiling = np.asarray([of(scores) for scores in fakes]), of(real)
            blind = [of(segmentation_scores(make(measured.real), unknown)) for make in _BLIND.values()]
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
    return Table(caption, ["", "generated", "real (ceiling)", *_BLIND, "share of the ceiling"], rows, note)


def is_ceiling(real: float, blind: float) -> bool:
    """Whether a score on real images is one to compare with: a tenth of the way from one without images to 1."""
    return real - blind > 0.1 * (1 - blind)


NO_SHARE = "no ceiling"
_BLIND = {"constant": constant_prediction, "chance": chance_prediction}
"""Predictions that look at no image."""

_SCORES: dict[str, Callable[[SegmentationScores], float]] = {
    "mIoU": lambda s: s.mean_iou,
    "pixel accuracy": lambda s: s.pixel_accuracy,
    "frequency-weighted IoU": lambda s: s.frequency_weighted_iou,
    "mean class accuracy": lambda s: s.mean_class_accuracy,
}


def _meaning(unknown: str) -> str:
    return {"excluded": "not counted", "errors": "counted as errors", "class": "a class of its own"}[unknown]


def feature_tables(measured: Measured, config: EvaluateConfig) -> list[Table]:
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


def style_tables(measured: Measured, config: EvaluateConfig) -> list[Table]:
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


def style_pictures(folder: Path, model: Synthesiser, test: Batch) -> list[Picture]:
    """Every layout in every style, and one layout between two styles; none without a style encoder."""
    if not model.config.vae:
        return []
    count = min(GRID, len(test["image"]))
    chosen = {name: array[:count] for name, array in test.items()}
    z = model.styles(chosen["image"])
    repeated = {name: np.repeat(array, count, axis=0) for name, array in chosen.items()}
    swapped = model.images(repeated, np.tile(z, (count, 1)))
    size = swapped.shape[1:]
    swap = swapped.reshape(count, count, *size)
    head = np.concatenate([np.full((1, 1, *size), 255, np.uint8), chosen["image"][None]], axis=1)
    whole = np.concatenate([head, np.concatenate([chosen["image"][:, None], swap], axis=1)])
    weights = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
    between = (1 - weights) * z[:, None] + weights * np.roll(z, -1, axis=0)[:, None]
    line = model.images(repeated, between.reshape(count * count, -1)).reshape(count, count, *size)
    return [
        Picture(
            image_grid(folder / "styles.png", whole),
            "Left: real images whose layouts are used; above: real images whose styles are.",
        ),
        Picture(
            image_grid(folder / "between.png", line),
            "From a layout's own style (left) to that of the next image (right), on a straight line of z.",
        ),
    ]


def training_pictures(run: RunDirectory) -> list[Picture]:
    """Curves, and the newest sample sheet of the training."""
    logged = read_metrics(run.metrics)
    shown = {name: Curve(*logged[name]) for name in CURVES if name in logged}
    pictures = [
        Picture(curves(run.figures / "curves.png", shown), "Terms of the losses, as weighted; all seeds.")
    ]
    sheets = sorted(run.figures.glob("samples_*.png"))
    if sheets:
        pictures.append(
            Picture(sheets[-1], "Validation layouts at the last checkpoint; earlier ones are beside it.")
        )
    return pictures


def _per_class(measured: Measured) -> Table:
    real = segmentation_scores(measured.real)
    fakes = np.stack([segmentation_scores(confusion).iou for confusion in measured.fake])
    names = measured.layout.value_names
    blind = [segmentation_scores(make(measured.real)).iou for make in _BLIND.values()]
    rows = [
        [names[i], Interval.of(fakes[:, i]), float(real.iou[i]), *(float(iou[i]) for iou in blind)]
        for i in range(measured.layout.classes)
    ]
    heads = ["class", "generated", "real", *_BLIND]
    return Table(f"IoU of each class; {NO_NUMBER}: not in the test part", heads, rows)


def _class_table(data: LayoutData) -> Table:
    counts = count_classes(data.train.batches(min(64, len(data.train)), COUNTED), data.layout)
    rows = [list(row) for row in counts.rows()]
    return Table(
        f"Classes of {counts.total:,} training pairs", ["class", "share of pixels", "images with it"], rows
    )


def _protocol(data: LayoutData, measured: Measured, config: EvaluateConfig) -> str:
    settings = config.segmenter
    return (
        f"Segmenter: U-Net {settings.widths}, {settings.steps:,} updates of {settings.batch_size} of at most "
        f"{config.segmenter_images:,} real training pairs at the size of the images, nothing resized. One confusion "
        f"matrix over {measured.images:,} test images of {data.name}; means over the classes that occur in it."
        + (
            " Each image is generated in the style of the real image of its layout."
            if measured.spread
            else ""
        )
    )


def _summary(measured: Measured) -> list[str]:
    fake = np.mean([segmentation_scores(confusion).mean_iou for confusion in measured.fake])
    real = segmentation_scores(measured.real).mean_iou
    blind = max(segmentation_scores(make(measured.real)).mean_iou for make in _BLIND.values())
    lines = [
        f"mIoU of generated images {fake:.3f}; of real ones, the ceiling, {real:.3f}; without looking at any, "
        f"{blind:.3f}."
    ]
    if not is_ceiling(real, blind):
        lines.append(
            "The segmenter has learned next to nothing, so its scores say nothing of the images: give more "
            "--evaluate.segmenter.steps or --evaluate.segmenter-images to experiments.evaluate."
        )
    if measured.style:
        share = np.mean([close_share(style.followed) for style in measured.style])
        lines.append(
            f"The object takes the hue of the style's object in {share:.0%} of the pairs (chance: 20 %)."
        )
    return lines


def _notes(data: LayoutData, config: EvaluateConfig) -> list[str]:
    notes = ["These numbers are not comparable with published ones, whose segmentation networks are others."]
    if data.name == layout_world.NAME:
        notes.append("Data: rendered scenes, an approximation of 3D Shapes; layouts do not tell the hues.")
    if config.feature_weights is None:
        notes.append("No Frechet distance: --evaluate.feature-weights names no network's weights.")
    if data.corrupt.names:
        names = ", ".join(data.corrupt.names[:10])
        notes.append(f"{len(data.corrupt.names)} files could not be read and were left out: {names}.")
    return notes


def results(measured: Measured, config: EvaluateConfig, step: int, data: LayoutData) -> dict[str, Any]:
    """What results.json holds."""
    real = segmentation_scores(measured.real)
    out: dict[str, Any] = {
        "data": data.name,
        "step": step,
        "images": measured.images,
        "real": {name: of(real) for name, of in _SCORES.items()},
        **{
            kind: {name: of(segmentation_scores(make(measured.real))) for name, of in _SCORES.items()}
            for kind, make in _BLIND.items()
        },
        "generated": {
            name: [of(segmentation_scores(confusion)) for confusion in measured.fake]
            for name, of in _SCORES.items()
        },
        "real_confusion": measured.real.tolist(),
        "confusion": [confusion.tolist() for confusion in measured.fake],
        "style_followed": [close_share(style.followed) for style in measured.style],
        "hues": [_hues(style) for style in measured.style],
        "lpips": list(measured.diversity),
        "spread": list(measured.spread),
        "corrupt": list(data.corrupt.names),
    }
    if measured.layout.dont_care:
        out["unknown"] = {mode: _with_unknown(measured, mode) for mode in UNKNOWN}
    if measured.real_features is not None:
        out["features"] = config.features
        out["frechet"] = [scores.frechet for scores in measured.features]
        out["kernel"] = [scores.kernel.mean for scores in measured.features]
        out["coverage"] = [scores.coverage._asdict() for scores in measured.features]
        halves = measured.real_features
        out["real_halves"] = {
            "frechet": halves.frechet,
            "kernel": halves.kernel.mean,
            "coverage": halves.coverage._asdict(),
        }
    return out


def _with_unknown(measured: Measured, mode: Unknown) -> dict[str, Any]:
    real = segmentation_scores(measured.real, mode)
    fakes = [segmentation_scores(confusion, mode) for confusion in measured.fake]
    return {
        "real": {name: of(real) for name, of in _SCORES.items()},
        "generated": {name: [of(scores) for scores in fakes] for name, of in _SCORES.items()},
    }


def _hues(style: StyleScores) -> dict[str, list[float | None]]:
    def plain(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(v) else float(v) for v in values]

    return {"generated": plain(style.generated), "wanted": plain(style.wanted)}
