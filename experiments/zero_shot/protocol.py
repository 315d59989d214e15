"""The protocol of generalised zero- and few-shot learning: data, settings, and where the classifier stops."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments import cli
from experiments.zero_shot.latent_classifier import (
    Outcome,
    Setting,
    make_problem,
    run_classifiers,
)
from experiments.zero_shot.stages import VALIDATION, Stage
from train.bounds import AtLeast, Choices, NonEmpty
from train.data.shapes3d_classes import shapes3d_classes
from train.data.xlsa17 import read_npz, read_xlsa17
from train.data.zero_shot import ZeroShotData, few_shot, scale
from train.errors import UserError
from train.steps.cada_vae import CADAVAEConfig, CADAVAEState, sample_latents
from train.steps.cada_vae_classifier import ClassifierConfig

Kind = Literal["gzsl", "zsl", "gfsl", "fsl"]
OFFICIAL_PASSES: Mapping[str, Mapping[int, tuple[int, int]]] = {
    "sun": {0: (21, 30), 1: (22, 96), 2: (29, 61), 5: (29, 78), 10: (79, 94)},
    "awa1": {0: (33, 25), 1: (40, 81), 2: (56, 59), 5: (89, 62), 10: (100, 50)},
    "cub": {0: (23, 22), 1: (34, 46), 2: (39, 31), 5: (64, 73), 10: (85, 67)},
    "awa2": {0: (29, 39), 1: (44, 96), 2: (69, 79), 5: (99, 100), 10: (86, 78)},
}
"""By shots, the passes of the generalised classifier and of that of the unseen classes alone (official code)."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data to train and test on."""

    source: Literal["procedural", "xlsa17", "npz"] = "procedural"
    """Classes of the rendered world; a folder with res101.mat and att_splits.mat; an npz with the same fields."""
    path: Path | None = None
    """The folder or the file."""
    features: str = "features"
    """npz: the array of image features."""
    attributes: Choices[str] = ("att",)
    """The arrays of class attributes, one or more: each is a modality with a VAE of its own."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The classifier on latents, and when it stops."""

    settings: Annotated[tuple[Kind, ...], NonEmpty()] = ("gzsl", "zsl")
    """gzsl, gfsl: zero- and few-shot, over all classes; zsl, fsl: the same, over the unseen classes alone."""
    shots: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (1, 2, 5, 10)
    """Images of each unseen class that the few-shot settings may use."""
    stopping: Literal["validation", "fixed", "cub", "sun", "awa1", "awa2"] = "validation"
    """Where the number of passes comes from: validation classes carved out of the training classes; --evaluate.passes;
    or the official number of that benchmark."""
    passes: Annotated[int, AtLeast(1)] = 40
    """Passes over the latents with --evaluate.stopping fixed."""
    max_passes: Annotated[int, AtLeast(1)] = 100
    """The most passes that validation may choose, and the length of the curves."""
    samples: Annotated[int, AtLeast(1)] = 200
    """Latents of each class and source."""
    unseen_samples: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (400,)
    """gzsl: latents of each unseen class; validation chooses where several are given."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """Optimiser of the classifier."""


def latents_of_zeros(
    state: CADAVAEState, config: CADAVAEConfig, sizes: Mapping[str, int]
) -> dict[str, Float[Array, "2 l"]]:
    """What a classifier learns from, of two zero examples of each modality."""
    keys = jax.random.split(state.key, len(sizes))
    return {
        name: sample_latents(state.params, config, name, jnp.zeros((2, size)), key)
        for (name, size), key in zip(sizes.items(), keys, strict=True)
    }


class Choice(NamedTuple):
    """Where a setting's classifier stops, and from how many latents of each unseen class it learns."""

    passes: int
    unseen_samples: int
    validation: Outcome | None = None
    """The curve that it was chosen on."""

    @property
    def score(self) -> float:
        """What the chosen pass reached on validation classes, mean over seeds; NaN where nothing was tried."""
        return math.nan if self.validation is None else float(self.validation.score.mean(0)[self.passes - 1])


def open_data(config: DataConfig) -> ZeroShotData:
    """The benchmark, checked and scaled.

    Raises:
      UserError: it can't be read, or breaks a rule of the protocol.
    """
    if config.source == "procedural":
        return scale(shapes3d_classes())
    if config.path is None:
        what = "the folder of res101.mat" if config.source == "xlsa17" else "the npz"
        raise UserError("--data.path", None, f"--data.source {config.source} needs it", f"give {what}")
    if config.source == "xlsa17":
        return scale(read_xlsa17(config.path, config.attributes))
    return scale(read_npz(config.path, config.features, config.attributes))


def settings_of(config: EvaluateConfig) -> list[Setting]:
    """Every setting that is asked for."""
    out = []
    for kind in dict.fromkeys(config.settings):
        generalised = kind in ("gzsl", "gfsl")
        shots = tuple(dict.fromkeys(config.shots)) if kind in ("gfsl", "fsl") else (0,)
        out += [Setting(generalised, n) for n in shots]
    return out


def check_settings(config: EvaluateConfig, data: ZeroShotData) -> None:
    """Raises UserError for an evaluation that can't be made on a task."""
    if config.stopping != "validation" and len(config.unseen_samples) > 1:
        given = " ".join(map(str, config.unseen_samples))
        remedy = "give one number, or --evaluate.stopping validation"
        raise UserError(
            "--evaluate.unseen-samples", given, "only validation can choose among several", remedy
        )
    for setting in settings_of(config):
        _check_setting(setting, config, data)


def _check_setting(setting: Setting, config: EvaluateConfig, data: ZeroShotData) -> None:
    if setting.shots:
        few_shot(data, setting.shots, seed=0)
        if config.stopping in OFFICIAL_PASSES and setting.shots not in OFFICIAL_PASSES[config.stopping]:
            remedy = "give 1, 2, 5 or 10, or --evaluate.stopping validation"
            raise UserError("--evaluate.shots", setting.shots, "has no official number of passes", remedy)
    for unseen_samples in candidates(setting, config):
        problem, _ = make_problem(data, setting, (config.samples, unseen_samples), seed=0)
        if setting.generalised and len(problem.labels) < config.classifier.batch_size:
            raise UserError(
                "--evaluate.classifier.batch-size",
                config.classifier.batch_size,
                f"{setting.name} has {len(problem.labels)} latents to learn from, less than a batch",
                "give a smaller one, or more --evaluate.samples",
            )


def candidates(setting: Setting, config: EvaluateConfig) -> tuple[int, ...]:
    """Numbers of latents from the attributes of each unseen class; GZSL alone departs from `config.samples`."""
    return config.unseen_samples if setting == Setting(generalised=True) else (config.samples,)


def choose(
    setting: Setting,
    config: EvaluateConfig,
    validation: Stage | None,
    first_seed: int,
) -> Choice:
    """Where the classifier stops: by table, as given, or where the mean over seeds is best on validation classes.

    Args:
      setting: of the classifier.
      config: how it stops.
      validation: where validation chooses, the validation task and VAEs that were trained on its training part.
      first_seed: of the run.
    """
    samples = candidates(setting, config)
    if validation is not None:
        tried = [_best_pass(setting, config, n, validation, first_seed) for n in samples]
        return max(tried, key=lambda choice: choice.score)
    if config.stopping in OFFICIAL_PASSES:
        generalised, alone = OFFICIAL_PASSES[config.stopping][setting.shots]
        return Choice(generalised if setting.generalised else alone, samples[0])
    return Choice(config.passes, samples[0])


def _best_pass(
    setting: Setting,
    config: EvaluateConfig,
    unseen_samples: int,
    stage: Stage,
    first_seed: int,
) -> Choice:
    samples = (config.samples, unseen_samples)
    outcome = run_classifiers(
        stage.vae, stage.data, setting, samples, config.max_passes, config.classifier, first_seed
    )
    passes = int(outcome.score.mean(0).argmax()) + 1
    return Choice(passes, unseen_samples, outcome)


class SettingOutcome(NamedTuple):
    """A setting's classifier at its chosen pass, and what led there."""

    setting: Setting
    choice: Choice
    outcome: Outcome

    def at_choice(self, name: Literal["seen", "unseen", "score"]) -> Float[np.ndarray, " seeds"]:
        """S, U or the score of each seed where the classifier stops."""
        return getattr(self.outcome, name)[:, self.choice.passes - 1]


def measure(stages: Mapping[str, Stage], config: EvaluateConfig, first_seed: int) -> list[SettingOutcome]:
    """Every setting, on the test rows; where validation chose, the curve goes on beyond the choice."""
    validation, measured = stages.get(VALIDATION), []
    for setting in settings_of(config):
        began = time.monotonic()
        choice = choose(setting, config, validation, first_seed)
        samples, passes = (config.samples, choice.unseen_samples), choice.passes
        if validation is not None:
            passes = config.max_passes
        vae, data = stages[""].vae, stages[""].data
        outcome = run_classifiers(
            vae, data, setting, samples, passes, config.classifier, first_seed, choice.passes
        )
        measured.append(SettingOutcome(setting, choice, outcome))
        score = measured[-1].at_choice("score").mean()
        seconds = time.monotonic() - began
        cli.say(f"  {setting.name}: {score:.3f} after {choice.passes} passes ({seconds:.0f} s)")
    return measured
