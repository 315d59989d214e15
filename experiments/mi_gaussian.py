"""Estimators of mutual information on correlated Gaussians and their cubes: the toy studies of two papers.

Papers: Cheng, Hao, Dai, Liu, Gan and Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML
2020; Poole, Ozair, van den Oord, Alemi and Tucker, "On Variational Bounds of Mutual Information", ICML 2019.
x and y have 20 dimensions; their mutual information steps through 2, 4, 6, 8 and 10 nats while every estimator learns
from fresh batches of 64. Bias, variance and mean squared error are of the last 500 estimates of each level.
`--preset paper` has the constants of both official notebooks: 4,000 steps per level for every estimator, and Poole's
critic of the concatenated pair, which takes hours on a CPU. `quick` keeps CLUB's study as published, and gives that of
Poole the separable critic, fewer steps per level and fewer estimators.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import jax
from jax.sharding import Mesh

from experiments import cli
from experiments.entry import Entry
from experiments.information import gaussian_report
from experiments.information.estimators import named
from experiments.information.gaussian_measures import End, EvaluateConfig, Stage, Toys, read_end, write_end
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.data.correlated_pairs import CorrelatedPairs, Toy
from train.errors import UserError
from train.loop import NonFiniteError, fit
from train.run_directory import RunDirectory
from train.steps import mi_estimators
from train.steps import mutual_information as mi
from train.task import Task

NAME = "mi_gaussian"
ABOUT = cli.About(
    name=NAME,
    paper="CLUB (ICML 2020) and variational bounds (ICML 2019) of mutual information",
    data="correlated Gaussians and their cubes, drawn",
    time="quick: minutes on 2 CPU cores",
)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pairs of x and y."""

    toys: tuple[Toy, ...] = ("gaussian", "cubic")
    """Correlated Gaussians, and the cubes of their y."""
    dim: int = 20
    """Dimensions of x and of y."""
    levels: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 10.0)
    """Mutual information in nats; each level lasts as long as the others."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """Estimators of mutual information where it is known."""

    club: mi_estimators.CLUBStudy = field(default_factory=mi_estimators.CLUBStudy)
    poole: mi_estimators.PooleStudy = field(default_factory=mi_estimators.PooleStudy)
    estimators: tuple[str, ...] = ("all",)
    """The estimators: `club/CLUB`, `poole/NWJ` and so on, a study (`club`), or `all`."""
    poole_steps: int = 0
    """Total updates of each estimator of Poole's study (0: --train.steps)."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


PAPER = Config(
    preset="paper",
    train=TrainConfig(
        steps=20_000, batch_size=64, inner_steps=1000, log_every=1, evaluate_every=0, checkpoint_every=4000
    ),
)
QUICK = replace(
    PAPER,
    preset="quick",
    estimators=(
        "club",
        "poole/NWJ",
        "poole/InfoNCE",
        "poole/JS",
        "poole/I_0.50",
        "poole/SMILE",
        "poole/TNCE",
    ),
    poole=replace(PAPER.poole, network="separable"),
    poole_steps=5000,
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}
CHANGEABLE = ("train.inner_steps", "train.checkpoint_every", "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> pairs of known mutual information -> one estimator after the other -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config)
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS))
        for stage in stages(config):
            if read_end(run, stage) is None:
                train(config, stage, run, mesh)
        report(run, config)


def stages(config: Config) -> list[Stage]:
    """Every estimator on every toy, in the order of the report."""
    return [
        Stage(toy, name, steps_of(config, name))
        for toy in config.data.toys
        for name, estimator in chosen(config).items()
        if toy == "gaussian"
        or not isinstance(estimator, mi_estimators.Known)  # whose conditional is that of the Gaussians
    ]


def chosen(config: Config) -> dict[str, mi_estimators.Estimator]:
    """The estimators that --estimators names, as study/estimator."""
    return named(config.estimators, config.club, config.poole)


def steps_of(config: Config, name: str) -> int:
    """Total updates of an estimator."""
    return (config.poole_steps if name.startswith("poole/") else 0) or config.train.steps


def train(config: Config, stage: Stage, run: RunDirectory, mesh: Mesh) -> None:
    """Trains an estimator, every seed on pairs of its own, which are those of that seed in every stage.

    Bounds with an exponential can diverge, NWJ on cubes does: that is a result, and does not end the run.
    """
    cli.say(f"{stage.toy} pairs, {stage.estimator}")
    feed = CorrelatedPairs(
        config.data.levels,
        stage.steps // len(config.data.levels),
        config.train.batch_size,
        config.data.dim,
        stage.toy,
    )
    began, diverged = time.monotonic(), ""
    try:
        fit(
            task(config, stage),
            feed,
            None,
            seeds.seed_keys(config.seed, config.seeds),
            replace(config.train, steps=stage.steps),
            run.in_stage(stage.folder),
            mesh,
            first_seed=config.seed,
            profile=config.profile,
            tensorboard=config.tensorboard,
        )
    except NonFiniteError as error:
        diverged = f"{error.term} is not finite at step {error.step}"
        cli.say(f"{stage.estimator} diverged: {diverged}")
    if jax.process_index() == 0:
        write_end(run, stage, End(time.monotonic() - began, diverged))


def task(config: Config, stage: Stage) -> Task:
    """What `fit` trains."""
    estimator = chosen(config)[stage.estimator]
    return Task(
        init=partial(mi.init_state, estimator=estimator, dim=config.data.dim),
        train_step=partial(mi.train_step, estimator=estimator),
        use=None,
    )


def report(run: RunDirectory, config: Config) -> None:
    """Writes results, figures and report from the logs."""
    if jax.process_index() == 0:
        settings, reference = (cli.settings_of(c) for c in (config, cli.published(config, PRESETS)))
        toy = Toys(config.data.levels, config.data.dim, config.train.batch_size)
        sides = {name: mi_estimators.side(estimator) for name, estimator in chosen(config).items()}
        gaussian_report.write_everything(
            run, stages(config), toy, config.evaluate, settings, reference, sides
        )


def evaluate(run: RunDirectory, config: Config) -> None:
    """Reports a run again, with other settings of evaluation.

    Raises:
      UserError: an estimator has not been trained to the end.
    """
    check(config)
    report(run, config)


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    chosen(config)
    cli.check_least(
        [
            ("--data.dim", config.data.dim, 1),
            ("--club.hidden-size", config.club.hidden_size, 2),
            ("--club.wide-hidden-size", config.club.wide_hidden_size, 2),
            ("--poole-steps", config.poole_steps, 0),
            ("--poole.embedding", config.poole.embedding, 1),
            *(("--poole.hidden", width, 1) for width in config.poole.hidden),
            *(("--poole.baseline", width, 1) for width in config.poole.baseline),
            ("--evaluate.window", config.evaluate.window, 1),
            ("--evaluate.span", config.evaluate.span, 1),
        ]
    )
    cli.check_positive(
        [
            ("--club.learning-rate", config.club.learning_rate),
            ("--club.wide-learning-rate", config.club.wide_learning_rate),
            ("--poole.learning-rate", config.poole.learning_rate),
        ]
    )
    _check_levels(config.data)
    _check_training(config)


def _check_levels(data: DataConfig) -> None:
    if not data.levels or not all(0 <= level < math.inf for level in data.levels):
        remedy = "give nats, e.g. 2 4 6 8 10"
        raise UserError("--data.levels", data.levels, "are not finite numbers of at least 0", remedy)
    if not data.toys or len(set(data.toys)) < len(data.toys):
        raise UserError(
            "--data.toys", data.toys, "is empty or names one twice", "give gaussian, cubic or both"
        )


def _check_training(config: Config) -> None:
    for flag, value in (
        ("--train.evaluate-every", config.train.evaluate_every),
        ("--train.patience", config.train.patience),
        ("--train.ema-decay", config.train.ema_decay),
    ):
        if value:
            raise UserError(flag, value, "is of no use here", "give 0; every estimate is on a fresh batch")
    if config.train.log_every != 1:
        raise UserError("--train.log-every", config.train.log_every, "leaves out estimates", "give 1")
    train_config.check(config.train, devices=1)
    for flag, steps in (("--train.steps", config.train.steps), ("--poole-steps", config.poole_steps)):
        levels = len(config.data.levels)
        if steps % levels:
            remedy = f"give a multiple of {levels}"
            raise UserError(flag, steps, f"does not divide over the {levels} levels", remedy)
        if steps and steps // levels < config.evaluate.window:
            remedy = f"give at most {steps // levels}, or more {flag}"
            problem = f"is longer than a level, which lasts {steps // levels} steps"
            raise UserError("--evaluate.window", config.evaluate.window, problem, remedy)


ENTRY = Entry(about=ABOUT, config=Config, check=check, evaluate=evaluate)

if __name__ == "__main__":
    cli.main(main)
