"""The pictures, tables and page of a zero-shot run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import cli
from experiments.run_report import titled, write_run_report
from experiments.zero_shot.latent_classifier import LatentModel, Outcome, Setting
from experiments.zero_shot.protocol import EvaluateConfig, Measured
from train.data.shapes3d_classes import NAME as EMBEDDED
from train.data.zero_shot import ZeroShotData
from train.errors import UserError
from train.figures import Curve, Panel, bands, class_scatter, confusion, curves
from train.metrics.zero_shot_baselines import (
    Accuracies,
    Rule,
    chance,
    constant,
    ridge_to_attributes,
    supervised_reference,
)
from train.metrics_log import read_metrics
from train.report import Picture, Report, Section, Settings
from train.run_directory import RunDirectory, write_json
from train.steps.cada_vae import IMAGE
from train.tables import Cell, Interval, Table, to_text

PUBLISHED: Mapping[str, tuple[float, float, float]] = {
    "cub": (0.535, 0.516, 0.524),
    "sun": (0.357, 0.472, 0.406),
    "awa1": (0.728, 0.573, 0.641),
    "awa2": (0.750, 0.558, 0.639),
}
"""S, U, H of GZSL in the paper."""
RULES: Mapping[str, Rule] = {"distance": "euclidean", "cosine": "cosine"}
SUPERVISED = "supervised (LDA, half of the unseen test images)"
TERMS = ("loss", "reconstruction", "kl", "cross_alignment", "distribution_alignment")
SHOWN_CLASSES = 12
"""Classes of each kind in the picture of the latent space."""


@dataclass(frozen=True)
class About:
    """What the report says of the run.

    Attributes:
      data: what the data are, in words.
      config: of the evaluation.
      first_seed: of the run.
      steps: of each stage's VAEs, (done, wanted).
      benchmark: whose published numbers stand beside the run's; None for none.
      settings: of the run, as JSON holds them.
      reference: the published ones, in the same form.
    """

    data: str
    config: EvaluateConfig
    first_seed: int
    steps: Mapping[str, tuple[int, int]]
    benchmark: str | None
    settings: Settings
    reference: Settings


def write_everything(
    run: RunDirectory, vae: LatentModel, data: ZeroShotData, measured: Sequence[Measured], about: About
) -> None:
    """results.json, figures, report.html; prints the tables."""
    run.figures.mkdir(exist_ok=True)
    for old in (*run.figures.glob("*-passes.png"), *run.figures.glob("*-confusion.png")):
        old.unlink()
    baselines = _baselines(data)
    write_json(run.path / "results.json", _results(vae, data, measured, baselines, about))
    tables = [_table(data, measured, baselines)]
    if about.benchmark:
        tables.append(_published_table(about.benchmark))
    print("\n\n".join(map(to_text, tables)), flush=True)
    latents = _latent_space(run.figures / "latents.png", vae, data, about.first_seed)
    sections = [
        Section("Accuracy", tables=tables),
        *(_setting_section(run, item, data, about.config) for item in measured),
        Section("Latent space", pictures=[latents]),
        *_loss_section(run),
    ]
    report = Report(
        title=titled("CADA-VAE", about.data),
        summary=_summary(measured, len(vae.keys)),
        settings=about.settings,
        reference=about.reference,
        reference_name="published",
        notes=_notes(data, measured, about),
        sections=sections,
    )
    write_run_report(run, report)


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
    vae: LatentModel,
    data: ZeroShotData,
    measured: Sequence[Measured],
    baselines: Mapping[str, Accuracies],
    about: About,
) -> dict[str, Any]:
    """Every number of the report; accuracies in [0, 1], per seed."""

    def numbers(item: Measured) -> dict[str, Any]:
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
        "data": data.name,
        "seeds": [about.first_seed + i for i in range(len(vae.keys))],
        "steps": {stage or "training": done for stage, (done, _) in about.steps.items()},
        "settings": {item.setting.name: numbers(item) for item in measured},
        "baselines": {name: values._asdict() for name, values in baselines.items()},
    }


def _table(
    data: ZeroShotData,
    measured: Sequence[Measured],
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
        "Mean and 95 % interval over seeds. Passes of the classifier, and latents that it learned each unseen class "
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


def _setting_section(
    run: RunDirectory, item: Measured, data: ZeroShotData, config: EvaluateConfig
) -> Section:
    """One setting's curves over passes, and its confusion matrix."""
    stem = item.setting.name.lower().replace(" ", "-")
    pictures = [
        _passes(run.figures / f"{stem}-passes.png", item, config),
        _confusion(run.figures / f"{stem}-confusion.png", item, data),
    ]
    return Section(item.setting.name, pictures=pictures)


def _passes(path: Path, item: Measured, config: EvaluateConfig) -> Picture:
    mark = ("stops here", float(item.choice.passes))
    shown = {"test rows": item.outcome}
    how = "after the given number of passes" if config.stopping == "fixed" else "after the official number"
    if item.choice.validation is not None:
        shown = {"validation classes": item.choice.validation, **shown}
        how = (
            "where the mean over seeds is best on validation classes (with "
            f"{item.choice.unseen_samples} latents of each unseen class), which are carved out of the training classes"
        )
    panels = {}
    for title, outcome in shown.items():
        x, curves = _curves(outcome, item.setting)
        panels[title] = Panel(x, curves, mark=mark, limits=(0, 1))
    caption = (
        f"{item.setting.name}: accuracy after each pass of the classifier, mean and 95 % interval over seeds. It stops "
        f"{how}; what the test rows show chose nothing."
    )
    return Picture(bands(path, panels, "classifier passes", "accuracy"), caption)


def _confusion(path: Path, item: Measured, data: ZeroShotData) -> Picture:
    classes = item.outcome.classes
    unseen = np.isin(classes, data.unseen)
    order = np.argsort(unseen, kind="stable")
    names = [data.class_names[classes[i]] for i in order]
    groups = (("seen classes", int((~unseen).sum())), ("unseen classes", int(unseen.sum())))
    caption = "Test images of each true class by predicted class, all seeds together; unseen classes last."
    return Picture(confusion(path, item.outcome.confusion[np.ix_(order, order)], names, groups), caption)


def _curves(outcome: Outcome, setting: Setting) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x = np.arange(1, outcome.score.shape[1] + 1)
    if not setting.generalised:
        return x, {"unseen classes": outcome.unseen}
    return x, {"S (seen)": outcome.seen, "U (unseen)": outcome.unseen, "H": outcome.score}


def _latent_space(path: Path, vae: LatentModel, data: ZeroShotData, first_seed: int) -> Picture:
    """Means of images and attributes of some classes, seen and unseen, in the plane of the attributes' variance."""
    means = {name: vae.means(name, table)[0] for name, table in data.attributes.items()}
    centre = np.concatenate(list(means.values()))
    origin = centre.mean(0)
    plane = np.linalg.svd(centre - origin, full_matrices=False)[2][:2].T
    shown = {}
    for title, classes, rows in (
        ("seen classes", data.seen, data.test_seen),
        ("unseen classes", data.unseen, data.test_unseen),
    ):
        some = classes[:: max(1, len(classes) // SHOWN_CLASSES)][:SHOWN_CLASSES]
        rows = rows[np.isin(data.labels[rows], some)]
        images = vae.means(IMAGE, data.features[rows])[0]
        groups = [((images - origin) @ plane, np.searchsorted(some, data.labels[rows]), "o")]
        for marker, table in zip("DsP^v", means.values(), strict=False):
            groups.append(((table[some] - origin) @ plane, np.arange(len(some)), marker))
        shown[title] = groups
    caption = (
        f"Posterior means of test images (dots) and of class attributes ({', '.join(means)}: large), up to "
        f"{SHOWN_CLASSES} classes of each kind, in the plane of the largest variance of the attributes' means; colour "
        f"is the class (seed {first_seed})."
    )
    axes = ("first component", "second component")
    return Picture(class_scatter(path, shown, axes), caption)


def _loss_section(run: RunDirectory) -> list[Section]:
    """The terms over training; nothing where the log is gone."""
    series = read_metrics(run.metrics)
    if not series:
        return []
    drawn = {name: Curve(*series[name]) for name in TERMS if name in series}
    caption = (
        "Terms of the loss, summed over the batch, while the VAEs trained. The loss rises with the weights of its "
        "terms: that is the warm-up, not divergence."
    )
    return [Section("Training", pictures=[Picture(curves(run.figures / "curves.png", drawn), caption)])]


def _summary(measured: Sequence[Measured], seeds: int) -> list[str]:
    lines = []
    for item in measured:
        score = 100 * item.at_choice("score").mean()
        what = "H" if item.setting.generalised else "accuracy on unseen classes"
        lines.append(f"{item.setting.name}: {what} {score:.1f} %.")
    return [" ".join([*lines, f"{seeds} seed{'s' if seeds > 1 else ''}."])]


def _notes(data: ZeroShotData, measured: Sequence[Measured], about: About) -> list[str]:
    notes = [
        f"Data: {data.name}, {len(data.features):,} images of {len(data.seen)} seen and {len(data.unseen)} unseen "
        f"classes; {len(data.trainval):,} training, {len(data.test_seen):,} and {len(data.test_unseen):,} test rows.",
        "Features are scaled to [0, 1] by the training rows alone.",
    ]
    if about.config.stopping == "validation":
        several = len(about.config.unseen_samples) > 1
        what = "Passes, and for GZSL the latents of each unseen class," if several else "The passes"
        notes.append(
            f"{what} were chosen on validation classes, by VAEs that never saw those: nothing was chosen on test rows."
        )
    for stage, (done, wanted) in about.steps.items():
        if done < wanted:
            whose = "that chose on validation classes" if stage else "that were tested"
            notes.append(f"The VAEs {whose} were trained for {done:,} of {wanted:,} steps only.")
    if data.name == EMBEDDED:
        notes.append(
            "The images are rendered and their features are those of a fixed random map: numbers on them are not "
            "comparable with any published benchmark."
        )
    if any(item.setting.shots for item in measured):
        notes.append("Few-shot images are drawn anew for each seed, and leave the test rows.")
    return notes
