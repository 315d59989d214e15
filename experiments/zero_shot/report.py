"""Measuring a zero-shot run; its pictures, tables and page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import cli
from experiments.run_report import of_file
from experiments.session import Findings
from experiments.zero_shot import protocol
from experiments.zero_shot.pictures import picture_sections
from experiments.zero_shot.protocol import DataConfig, EvaluateConfig, SettingOutcome
from experiments.zero_shot.stages import Stage
from train.data.shapes3d_classes import NAME as EMBEDDED
from train.data.zero_shot import ZeroShotData
from train.errors import UserError
from train.metrics.zero_shot_baselines import (
    Accuracies,
    Rule,
    chance,
    constant,
    ridge_to_attributes,
    supervised_reference,
)
from train.report.report import Section
from train.report.tables import OVER_SEEDS, Cell, Interval, Table
from train.run_directory import RunDirectory

PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "cub": (0.535, 0.516, 0.524),
    "sun": (0.357, 0.472, 0.406),
    "awa1": (0.728, 0.573, 0.641),
    "awa2": (0.750, 0.558, 0.639),
}
"""S, U, H of GZSL in the paper."""
RULES: Mapping[str, Rule] = {"distance": "euclidean", "cosine": "cosine"}
SUPERVISED = "supervised (LDA, half of the unseen test images)"


def findings(
    run: RunDirectory,
    title: str,
    stages: Mapping[str, Stage],
    config: EvaluateConfig,
    first_seed: int,
    preset: str,
) -> Findings:
    """Trains the classifiers on latents of each stage's VAEs, measures them, and draws the figures."""
    for name, stage in stages.items():
        if stage.done < stage.wanted:
            whose = name or "of the report"
            cli.say(f"  the VAEs {whose} were trained for {stage.done} of {stage.wanted} steps only")
    measured = protocol.measure(stages, config, first_seed)
    vae, data = stages[""].vae, stages[""].data
    baselines = _baselines(data)
    tables = [_table(data, measured, baselines)]
    if preset in PUBLISHED:
        tables.append(_published_table(preset))
    return Findings(
        title=title,
        summary=_summary(measured, len(vae.keys)),
        sections=[
            Section("Accuracy", tables=tables),
            *picture_sections(run, stages[""], measured, config, first_seed),
        ],
        results=_results(stages, measured, baselines, first_seed),
        notes=_notes(stages, measured, config),
        printed=tables,
    )


def in_words(config: DataConfig, preset: str) -> str:
    """What the data are, for the title."""
    if config.source == "procedural":
        return "rendered classes of 3D Shapes"
    if preset in PUBLISHED:
        return of_file(f"{preset.upper()}, read from the files", config.path)
    return of_file("classes", config.path)


def _baselines(data: ZeroShotData) -> dict[str, Accuracies]:
    """What needs no latent space reaches: below it a model is of no use, above the second hardly possible."""
    attributes = np.concatenate(list(data.attributes.values()), axis=1)
    splits = (data.trainval, data.test_seen, data.test_unseen)
    out = {
        f"ridge regression to attributes, nearest by {name}": ridge_to_attributes(
            data.features, data.labels, attributes, *splits, rule=rule
        )
        for name, rule in RULES.items()
    }
    try:
        out[SUPERVISED] = supervised_reference(data.features, data.labels, *splits)
    except UserError as too_few:
        cli.say(f"  no supervised reference: {too_few}")
    sizes = len(data.seen), len(data.unseen)
    return {**out, "one class for all images": constant(*sizes), "chance": chance(*sizes)}


def _results(
    stages: Mapping[str, Stage],
    measured: Sequence[SettingOutcome],
    baselines: Mapping[str, Accuracies],
    first_seed: int,
) -> dict[str, Any]:
    """Every number of the report; accuracies in [0, 1], per seed."""

    def numbers(item: SettingOutcome) -> dict[str, Any]:
        curves = {name: getattr(item.outcome, name).tolist() for name in ("seen", "unseen", "score")}
        chosen = {name: item.at_choice(name).tolist() for name in ("seen", "unseen", "score")}
        if not item.setting.generalised:
            del curves["seen"], chosen["seen"]
        validation = item.choice.validation
        return {
            "passes": item.choice.passes,
            "unseen_samples": item.choice.unseen_samples,
            **chosen,
            "curves": curves,
            "validation_score": None if validation is None else validation.score.tolist(),
        }

    return {
        "data": stages[""].data.name,
        "seeds": [first_seed + i for i in range(len(stages[""].vae.keys))],
        "steps": {name or "training": stage.done for name, stage in stages.items()},
        "settings": {item.setting.name: numbers(item) for item in measured},
        "baselines": {name: values._asdict() for name, values in baselines.items()},
    }


def _table(
    data: ZeroShotData,
    measured: Sequence[SettingOutcome],
    baselines: Mapping[str, Accuracies],
) -> Table:
    """Accuracies in percent, the model's settings first, then what they are compared with."""
    rows: list[list[Cell]] = []
    for item in measured:
        s, u, h = (Interval.of(100 * item.at_choice(name)) for name in ("seen", "unseen", "score"))
        cells = (s, u, h, math.nan) if item.setting.generalised else (math.nan, math.nan, math.nan, u)
        name, choice = f"CADA-VAE, {item.setting.name}", item.choice
        rows.append([name, *cells, choice.passes, choice.unseen_samples])
    for name, values in baselines.items():
        rows.append([name, *(100 * value for value in values), "", ""])
    caption = (
        f"Per-class accuracy in percent on test rows of {data.name}: S of {len(data.seen)} seen classes, U of "
        f"{len(data.unseen)} unseen ones, all told apart; H their harmonic mean; ZSL among the unseen classes alone"
    )
    columns = ["", "S", "U", "H", "ZSL", "passes", "latents from attributes"]
    note = (
        f"{OVER_SEEDS} Passes of the classifier, and latents that it learned each unseen class "
        "from by its attributes; ridge regression with alpha 1, untuned."
    )
    return Table(caption, columns, rows, note)


def _published_table(benchmark: str) -> Table:
    """The paper's accuracies, set apart from the run's."""
    numbers = (100 * value for value in PUBLISHED[benchmark])
    data = f"{benchmark.upper()}, its published split"
    caption = f"Published elsewhere, on {benchmark.upper()}: none of these numbers is from this run"
    columns = ["model", "data set", "source", "S", "U", "H"]
    return Table(caption, columns, [["CADA-VAE, GZSL", data, "the paper", *numbers]], apart=True)


def _summary(measured: Sequence[SettingOutcome], seeds: int) -> list[str]:
    lines = []
    for item in measured:
        score = 100 * item.at_choice("score").mean()
        what = "H" if item.setting.generalised else "accuracy on unseen classes"
        lines.append(f"{item.setting.name}: {what} {score:.1f} %.")
    return [" ".join([*lines, f"{seeds} seed{'s' if seeds > 1 else ''}."])]


def _notes(
    stages: Mapping[str, Stage], measured: Sequence[SettingOutcome], config: EvaluateConfig
) -> list[str]:
    data = stages[""].data
    notes = [
        f"Data: {data.name}, {len(data.features):,} images of {len(data.seen)} seen and {len(data.unseen)} unseen "
        f"classes; {len(data.trainval):,} training, {len(data.test_seen):,} and {len(data.test_unseen):,} test rows.",
        "Features are scaled to [0, 1] by the training rows alone.",
    ]
    if config.stopping == "validation":
        several = len(config.unseen_samples) > 1
        what = "Passes, and for GZSL the latents of each unseen class," if several else "The passes"
        notes.append(
            f"{what} were chosen on validation classes, by VAEs that never saw those: nothing was chosen on test rows."
        )
    for name, stage in stages.items():
        if stage.done < stage.wanted:
            whose = "that chose on validation classes" if name else "that were tested"
            notes.append(f"The VAEs {whose} were trained for {stage.done:,} of {stage.wanted:,} steps only.")
    if data.name == EMBEDDED:
        notes.append(
            "The images are rendered and their features are those of a fixed random map: numbers on them are not "
            "comparable with any published benchmark."
        )
    if any(item.setting.shots for item in measured):
        notes.append("Few-shot images are drawn anew for each seed, and leave the test rows.")
    return notes
