"""Minimising mutual information with CLUB: three experiments of its paper.

Paper: Cheng, Hao, Dai, Liu, Gan and Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML
2020; the bottleneck after Alemi, Fischer, Dillon and Murphy, "Deep Variational Information Bottleneck", ICLR 2017.
`--parts` chooses among

  gaussians    angles of two mixtures of the same noise are turned until the mixtures are independent, beside the
               analytic mutual information (the official notebook, as published in either preset)
  bottleneck   digits are classified from a latent that may keep little of the image
  adaptation   digits of one domain are learned from labels, and recognised in another domain without any

`--preset paper` has the constants of the official code, for MNIST; `quick` has smaller networks and fewer updates, for
the digits that scikit-learn ships. Every part has a batch size and a length of its own; --train.steps replaces the
length of them all. Nothing is chosen on test data: every number is of the last update, while the official code reports
the best epoch on test images and the best accuracy on target labels.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from experiments import cli
from experiments.entry import Entry
from experiments.information import minimisation_measures as measures
from experiments.information.minimisation_report import About, write_everything
from experiments.information.minimisation_stages import (
    Part,
    Stage,
    in_both_domains,
    of_adaptation,
    of_bottleneck,
    of_gaussians,
)
from experiments.run_report import of_file
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.data import digits, domains
from train.data.digits import Digits
from train.errors import UserError
from train.loop import fit
from train.run_directory import RunDirectory
from train.steps import domain_adaptation, information_bottleneck, mixed_gaussians
from train.stored_state import load_state

NAME = "mi_minimisation"
ABOUT = cli.About(
    name=NAME,
    paper="minimising mutual information with CLUB (ICML 2020)",
    data="Gaussians, drawn; digits of scikit-learn, or MNIST from a file or TFDS",
    time="quick: 2 min on 2 CPU cores, three seeds",
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The digits."""

    source: digits.Source = "sklearn"
    """1,797 digits of scikit-learn, or MNIST: an npz file, or TFDS."""
    path: Path | None = None
    """The npz file; for tfds the data folder, if it is not the default one."""
    domain: domains.Domain = "coloured"
    """How digits of the target domain are changed."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """Mutual information that is minimised."""

    parts: tuple[Part, ...] = ("gaussians", "bottleneck", "adaptation")
    """The experiments to run."""
    gaussians: mixed_gaussians.MixingConfig = field(default_factory=mixed_gaussians.MixingConfig)
    estimates: tuple[mixed_gaussians.Estimate, ...] = ("club", "club-sampled", "club-known")
    """What is lowered on Gaussians; `club-known` has the true p(y|x)."""
    bottleneck: information_bottleneck.BottleneckConfig = field(
        default_factory=information_bottleneck.BottleneckConfig
    )
    penalties: tuple[str, ...] = tuple(information_bottleneck.PENALTIES)
    """What is lowered in the bottleneck: plain (nothing), VUB, CLUB, CLUB-S, vCLUB, vCLUB-S."""
    adaptation: domain_adaptation.AdaptationConfig = field(default_factory=domain_adaptation.AdaptationConfig)
    methods: tuple[domain_adaptation.Method, ...] = ("source-only", "club", "club-sampled")
    """Methods of domain adaptation."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: measures.EvaluateConfig = field(default_factory=measures.EvaluateConfig)


PAPER = Config(
    preset="paper",
    train=TrainConfig(
        steps=0, batch_size=0, inner_steps=100, log_every=20, evaluate_every=0, checkpoint_every=2000
    ),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    bottleneck=replace(PAPER.bottleneck, latent_dim=64, hidden=(256, 256), q_hidden=(64,), epochs=100),
    adaptation=replace(
        PAPER.adaptation, channels=(16, 32, 32), convolutions=1, dropout=0.1, noise=0.2, steps=400
    ),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}
CHANGEABLE = ("train.inner_steps", "train.log_every", "train.checkpoint_every", "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> data -> one training after the other -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config)
    data = digits.open_digits(config.data.source, config.data.path)
    check_sizes(config, data)
    wanted = stages(config, data)
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS), unused(config))
        states = {stage.folder: train(config, stage, run, mesh) for stage in wanted}
        report(run, config, data, wanted, states)


def stages(config: Config, data: Digits) -> list[Stage]:
    """Everything that is trained, in the order of the report."""
    of_part: dict[str, list[Stage]] = {
        "gaussians": of_gaussians(config.gaussians, config.estimates),
        "bottleneck": of_bottleneck(config.bottleneck, config.penalties, data.train),
        "adaptation": of_adaptation(config.adaptation, config.methods, config.data.domain, data.train),
    }
    wanted = [stage for part, items in of_part.items() if part in config.parts for stage in items]
    return [stage._replace(steps=config.train.steps or stage.steps) for stage in wanted]


def train(config: Config, stage: Stage, run: RunDirectory, mesh: Mesh) -> PyTree:
    """Trains a stage and returns the last state of every seed."""
    cli.say(f"{stage.part}, {stage.name}")
    began = time.monotonic()
    fitted = fit(
        stage.task,
        stage.feed(mesh),
        None,
        seeds.seed_keys(config.seed, config.seeds),
        replace(config.train, steps=stage.steps),
        run.in_stage(stage.folder),
        mesh,
        first_seed=config.seed,
        profile=config.profile,
        tensorboard=config.tensorboard,
    )
    cli.say(f"  {time.monotonic() - began:.0f} s")
    return devices.on_one_device(fitted.last)


def report(
    run: RunDirectory, config: Config, data: Digits, wanted: Sequence[Stage], states: Mapping[str, PyTree]
) -> None:
    """Tests every stage, and writes results, figures and report."""
    if jax.process_index() != 0:
        return
    found: dict[str, dict[str, Any]] = {part: {} for part in dict.fromkeys(stage.part for stage in wanted)}
    for stage in wanted:
        found[stage.part][stage.name] = measure(run, config, data, stage, states[stage.folder])
    about = About(
        data=in_words(config.data),
        counts=(len(data.train), len(data.test)),
        classes=np.bincount(data.test.label, minlength=digits.CLASSES).tolist(),
        domain=config.data.domain,
        settings=cli.settings_of(config, unused(config)),
        reference=cli.settings_of(cli.published(config, PRESETS), unused(config)),
        examples=in_both_domains(data.test, config.data.domain) if "adaptation" in config.parts else None,
    )
    write_everything(run, found, about)


def unused(config: Config) -> list[str]:
    """The groups of settings of parts that are not trained, with what those parts list."""
    lists = {"gaussians": "estimates", "bottleneck": "penalties", "adaptation": "methods"}
    return [name for part in lists if part not in config.parts for name in (part, lists[part])]


def in_words(config: DataConfig) -> str:
    """What the digits are, for titles and captions."""
    known = {"sklearn": "scikit-learn's digits", "tfds": "MNIST"}
    return known.get(config.source) or of_file("the digits", config.path)


def measure(run: RunDirectory, config: Config, data: Digits, stage: Stage, state: PyTree) -> Any:
    """What the report says of a stage: `Course`, `Kept` or `Recognised`."""
    match stage.part:
        case "gaussians":
            return measures.course(run.in_stage(stage.folder))
        case "bottleneck":
            penalty = information_bottleneck.PENALTIES[stage.name]
            return measures.kept(state, data.test, config.bottleneck, penalty, config.evaluate)
        case "adaptation":
            both = in_both_domains(data.test, config.data.domain)
            return measures.recognised(state, *both, config.adaptation, config.evaluate)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from the newest checkpoints, with other settings of evaluation."""
    check(config)
    data = digits.open_digits(config.data.source, config.data.path)
    keys, wanted = seeds.seed_keys(config.seed, config.seeds), stages(config, data)
    states = {
        stage.folder: load_state(
            stage.task, keys, replace(config.train, steps=stage.steps), run.in_stage(stage.folder), "last"
        )
        for stage in wanted
    }
    report(run, config, data, wanted, states)


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    for flag, values, known in (
        ("--parts", config.parts, ("gaussians", "bottleneck", "adaptation")),
        ("--penalties", config.penalties, tuple(information_bottleneck.PENALTIES)),
        ("--estimates", config.estimates, ("club", "club-sampled", "leave-one-out", "club-known")),
        ("--methods", config.methods, ("source-only", "club", "club-sampled")),
    ):
        if not values or len(set(values)) < len(values) or not set(values) <= set(known):
            problem = "is empty, or names one that is unknown or a second time"
            raise UserError(flag, " ".join(values), problem, f"choose from {', '.join(known)}")
    gaussians, bottleneck, adaptation = config.gaussians, config.bottleneck, config.adaptation
    cli.check_least(
        [
            ("--gaussians.dim", gaussians.dim, 1),
            ("--gaussians.hidden-size", gaussians.hidden_size, 2),
            ("--gaussians.q-steps", gaussians.q_steps, 1),
            ("--gaussians.batch-size", gaussians.batch_size, 2),
            ("--gaussians.steps", gaussians.steps, 1),
            ("--bottleneck.latent-dim", bottleneck.latent_dim, 1),
            *(("--bottleneck.hidden", width, 1) for width in bottleneck.hidden),
            *(("--bottleneck.q-hidden", width, 1) for width in bottleneck.q_hidden),
            ("--bottleneck.epochs", bottleneck.epochs, 1),
            ("--bottleneck.batch-size", bottleneck.batch_size, 2),
            *(("--adaptation.channels", width, 1) for width in adaptation.channels),
            ("--adaptation.channels", len(adaptation.channels), 1),
            ("--adaptation.convolutions", adaptation.convolutions, 1),
            ("--adaptation.domain-hidden", adaptation.domain_hidden, 1),
            ("--adaptation.steps", adaptation.steps, 1),
            ("--adaptation.batch-size", adaptation.batch_size, 2),
            ("--evaluate.samples", config.evaluate.samples, 1),
            ("--evaluate.pairs", config.evaluate.pairs, 2),
            ("--evaluate.batch-size", config.evaluate.batch_size, 2),
            ("--train.steps", config.train.steps, 0),
        ]
    )
    cli.check_positive(
        [
            ("--gaussians.learning-rate", gaussians.learning_rate),
            ("--bottleneck.learning-rate", bottleneck.learning_rate),
            ("--bottleneck.decay", bottleneck.decay),
            ("--bottleneck.decay-epochs", bottleneck.decay_epochs),
            ("--adaptation.learning-rate", adaptation.learning_rate),
        ]
    )
    _check_ranges(config)
    for flag, value in (
        ("--train.evaluate-every", config.train.evaluate_every),
        ("--train.patience", config.train.patience),
        ("--train.batch-size", config.train.batch_size),
    ):
        if value:
            remedy = "give 0; every part has a length and a batch size of its own, as --bottleneck.batch-size"
            raise UserError(flag, value, "is of no use here", remedy)
    train_config.check(replace(config.train, steps=config.train.steps or 1, batch_size=2), devices=1)


def _check_ranges(config: Config) -> None:
    gaussians, bottleneck, adaptation = config.gaussians, config.bottleneck, config.adaptation
    for flag, value, limit in (
        ("--gaussians.angle", gaussians.angle, math.pi / 4),
        ("--bottleneck.beta", bottleneck.beta, math.inf),
        ("--bottleneck.q-noise", bottleneck.q_noise, math.inf),
        ("--adaptation.weight", adaptation.weight, math.inf),
        ("--adaptation.dropout", adaptation.dropout, 1),
        ("--adaptation.noise", adaptation.noise, math.inf),
    ):
        if not 0 <= value < limit:
            raise UserError(flag, value, f"is not in [0, {limit:.4g})", "give a number from there")


def check_sizes(config: Config, data: Digits) -> None:
    """Raises UserError for batches and networks that these digits are too few or too small for."""
    size, side = len(data.train), min(data.train.image.shape[1:])
    for flag, value, most in (
        ("--bottleneck.batch-size", config.bottleneck.batch_size, size),
        ("--adaptation.batch-size", config.adaptation.batch_size, size // 2),
    ):
        if value > most:
            raise UserError(flag, value, f"is more than the {most} images there are", "give a smaller one")
    channels, blocks = config.adaptation.channels, len(config.adaptation.channels)
    if side < 2 ** (blocks - 1):
        problem = f"halves images of {side} pixels a side {blocks - 1} times"
        raise UserError("--adaptation.channels", channels, problem, "give fewer blocks")


ENTRY = Entry(about=ABOUT, config=Config, check=check, evaluate=evaluate)

if __name__ == "__main__":
    cli.main(main)
