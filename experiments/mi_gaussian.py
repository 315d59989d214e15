"""Estimators of mutual information on correlated Gaussians and their cubes: the toy studies of two papers.

Papers: Cheng, Hao, Dai, Liu, Gan and Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML
2020; Poole, Ozair, van den Oord, Alemi and Tucker, "On Variational Bounds of Mutual Information", ICML 2019.
x and y have 20 dimensions; their mutual information steps through 2, 4, 6, 8 and 10 nats while every estimator learns
from fresh batches of 64. Bias, variance and mean squared error are of the last 500 estimates of each level.
`--preset paper` has the constants of both official notebooks: 4,000 steps a level for every estimator, and Poole's
critic of the concatenated pair, which takes hours on a CPU. `quick` keeps CLUB's study as published, and gives that of
Poole the separable critic, fewer steps a level and fewer estimators.
"""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import jax

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.information.estimators import named
from experiments.information.gaussian_measures import End, EvaluateConfig, Stage, Toys, read_end, write_end
from experiments.information.gaussian_report import findings
from experiments.session import Session, command_of
from train import config as train_config
from train.bounds import AtLeast, Choices, NonEmpty
from train.config import TrainConfig
from train.data.correlated_pairs import CorrelatedPairs, Toy
from train.errors import UserError
from train.loop import NonFiniteError
from train.steps import mi_estimators
from train.steps import mutual_information as mi
from train.task import Task


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pairs."""

    toys: Choices[Toy] = ("gaussian", "cubic")
    """Correlated Gaussians, and the cubes of their y."""
    dim: Annotated[int, AtLeast(1)] = 20
    """Dimensions of x and of y."""
    levels: Annotated[tuple[Annotated[float, AtLeast(0)], ...], NonEmpty()] = (2.0, 4.0, 6.0, 8.0, 10.0)
    """Mutual information in nats; each level lasts as long as the others."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """Estimators of mutual information where it is known."""

    club: mi_estimators.CLUBStudy = field(default_factory=mi_estimators.CLUBStudy)
    poole: mi_estimators.PooleStudy = field(default_factory=mi_estimators.PooleStudy)
    estimators: Annotated[tuple[str, ...], NonEmpty()] = ("all",)
    """Which: `club/CLUB`, `poole/NWJ` and so on, a study (`club`), or `all`."""
    poole_steps: Annotated[int, AtLeast(0)] = 0
    """Updates in all of the estimators of Poole's study (0: --train.steps)."""
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


def flow(session: Session[Config], config: Config) -> None:
    """config -> pairs of known mutual information -> one estimator after the other -> report."""
    session.begin()
    for stage in stages(config):
        if not session.replays and read_end(session.run, stage) is None:
            train(session, config, stage)
    toys = Toys(config.data.levels, config.data.dim, config.train.batch_size)
    sides = {name: mi_estimators.side(estimator) for name, estimator in chosen(config).items()}
    session.report(lambda run: findings(run, stages(config), toys, config.evaluate, sides))


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
    """Updates in all of an estimator."""
    return (config.poole_steps if name.startswith("poole/") else 0) or config.train.steps


def train(session: Session[Config], config: Config, stage: Stage) -> None:
    """Trains an estimator, every seed on pairs of its own, which are those of that seed in every stage.

    Bounds with an exponential can diverge, NWJ on cubes does: that is a result, and no end of the run.
    """
    cli.say(f"{stage.toy} pairs, {stage.estimator}")
    data, each = config.data, stage.steps // len(config.data.levels)
    pairs = CorrelatedPairs(data.levels, each, config.train.batch_size, data.dim, stage.toy)
    limits = replace(config.train, steps=stage.steps)
    began, diverged = time.monotonic(), ""
    try:
        session.fit(task(config, stage), lambda mesh: pairs, None, limits, stage.folder)
    except NonFiniteError as error:
        diverged = f"{error.term} is not finite at step {error.step}"
        cli.say(f"{stage.estimator} diverged: {diverged}")
    if jax.process_index() == 0:
        write_end(session.run, stage, End(time.monotonic() - began, diverged))


def task(config: Config, stage: Stage) -> Task:
    """What `fit` trains."""
    estimator = chosen(config)[stage.estimator]
    return Task(
        init=partial(mi.init_state, estimator=estimator, dim=config.data.dim),
        train_step=partial(mi.train_step, estimator=estimator),
        use=None,
    )


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    chosen(config)
    _check_training(config)


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


EXPERIMENT = Experiment(
    about=About(
        name="mi_gaussian",
        paper="CLUB (ICML 2020) and variational bounds (ICML 2019) of mutual information",
        data="correlated Gaussians and their cubes, drawn",
        time="quick: minutes on 2 CPU cores",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda config: ("train.inner_steps", "train.checkpoint_every", "evaluate", "preset"),
    reference_name="published setting",
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
