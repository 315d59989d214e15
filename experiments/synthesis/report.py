"""Measuring a run on semantic layouts; its page and results."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.session import Findings
from experiments.synthesis.measures import (
    UNKNOWN,
    EvaluateConfig,
    StyleScores,
    SynthesisScores,
    close_share,
    measure,
    read,
)
from experiments.synthesis.pictures import GRID, samples_picture, style_pictures, training_pictures
from experiments.synthesis.synthesiser import Synthesiser
from experiments.synthesis.tables import (
    BLIND,
    SCORES,
    class_counts_table,
    class_scores_table,
    feature_tables,
    is_ceiling,
    segmentation_table,
    style_tables,
)
from train.data import layout_world
from train.data.layout_parts import LayoutData
from train.metrics.segmentation import Unknown, segmentation_scores
from train.report.report import Section
from train.run_directory import RunDirectory

SHEET = 8
"""Test examples on the sheet."""


def findings(
    run: RunDirectory,
    title: str,
    models: Sequence[Synthesiser],
    data: LayoutData,
    config: EvaluateConfig,
    seed: int,
) -> Findings:
    """Measures the models of all seeds on the test part and draws the figures, of the first one."""
    measured = measure(models, data, config, seed)
    test = read(data.test, max(SHEET, GRID))
    samples = [samples_picture(run.figures, models[0], test), *style_pictures(run.figures, models[0], test)]
    tables = [
        segmentation_table(measured),
        *feature_tables(measured, config),
        *style_tables(measured, config),
    ]
    step = max(int(model.state.step) for model in models)
    return Findings(
        title=title,
        summary=_summary(measured),
        sections=[
            Section("Segmentation of generated images", [_protocol(data, measured, config)], tables),
            Section("Samples", pictures=samples),
            Section("Training", pictures=training_pictures(run)),
            Section("Classes", tables=[class_scores_table(measured), class_counts_table(data)]),
        ],
        results=results(measured, config, step, data),
        notes=_notes(data, config),
        printed=tables,
    )


def _protocol(data: LayoutData, measured: SynthesisScores, config: EvaluateConfig) -> str:
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


def _summary(measured: SynthesisScores) -> list[str]:
    fake = np.mean([segmentation_scores(confusion).mean_iou for confusion in measured.fake])
    real = segmentation_scores(measured.real).mean_iou
    blind = max(segmentation_scores(make(measured.real)).mean_iou for make in BLIND.values())
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


def results(measured: SynthesisScores, config: EvaluateConfig, step: int, data: LayoutData) -> dict[str, Any]:
    """What results.json holds."""
    real = segmentation_scores(measured.real)
    out: dict[str, Any] = {
        "data": data.name,
        "step": step,
        "images": measured.images,
        "real": {name: of(real) for name, of in SCORES.items()},
        **{
            kind: {name: of(segmentation_scores(make(measured.real))) for name, of in SCORES.items()}
            for kind, make in BLIND.items()
        },
        "generated": {
            name: [of(segmentation_scores(confusion)) for confusion in measured.fake]
            for name, of in SCORES.items()
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


def _with_unknown(measured: SynthesisScores, mode: Unknown) -> dict[str, Any]:
    real = segmentation_scores(measured.real, mode)
    fakes = [segmentation_scores(confusion, mode) for confusion in measured.fake]
    return {
        "real": {name: of(real) for name, of in SCORES.items()},
        "generated": {name: [of(scores) for scores in fakes] for name, of in SCORES.items()},
    }


def _hues(style: StyleScores) -> dict[str, list[float | None]]:
    def plain(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(v) else float(v) for v in values]

    return {"generated": plain(style.generated), "wanted": plain(style.wanted)}
