"""The pictures of a zero-shot run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.zero_shot.latent_classifier import LatentModel, Outcome, Setting
from experiments.zero_shot.protocol import EvaluateConfig, SettingOutcome
from experiments.zero_shot.stages import Stage
from train.data.zero_shot import ZeroShotData
from train.metrics_log import read_metrics
from train.report.figures import Curve, Panel, bands, class_scatter, confusion, curves
from train.report.report import Picture, Section
from train.run_directory import RunDirectory
from train.steps.cada_vae import IMAGE

TERMS = ("loss", "reconstruction", "kl", "cross_alignment", "distribution_alignment")
SHOWN_CLASSES = 12
"""Classes of each kind in the picture of the latent space."""


def picture_sections(
    run: RunDirectory,
    stage: Stage,
    measured: Sequence[SettingOutcome],
    config: EvaluateConfig,
    first_seed: int,
) -> list[Section]:
    """The sections of pictures; those of settings that were measured before are removed."""
    for old in (*run.figures.glob("*-passes.png"), *run.figures.glob("*-confusion.png")):
        old.unlink()
    latents = _latent_space(run.figures / "latents.png", stage.vae, stage.data, first_seed)
    settings = [_setting_section(run, item, stage.data, config) for item in measured]
    return [*settings, Section("Latent space", pictures=[latents]), *_loss_section(run)]


def _setting_section(
    run: RunDirectory, item: SettingOutcome, data: ZeroShotData, config: EvaluateConfig
) -> Section:
    """One setting's curves over passes, and its confusion matrix."""
    stem = item.setting.name.lower().replace(" ", "-")
    pictures = [
        _passes(run.figures / f"{stem}-passes.png", item, config),
        _confusion(run.figures / f"{stem}-confusion.png", item, data),
    ]
    return Section(item.setting.name, pictures=pictures)


def _passes(path: Path, item: SettingOutcome, config: EvaluateConfig) -> Picture:
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


def _confusion(path: Path, item: SettingOutcome, data: ZeroShotData) -> Picture:
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
