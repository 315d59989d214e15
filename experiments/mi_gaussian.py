"""Estimators of mutual information on correlated Gaussians and their cubes: the toy studies of two papers.

Papers: Cheng, Hao, Dai, Liu, Gan and Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML
2020; Poole, Ozair, van den Oord, Alemi and Tucker, "On Variational Bounds of Mutual Information", ICML 2019.
x and y have 20 dimensions; their mutual information steps through 2, 4, 6, 8 and 10 nats while every estimator learns
from fresh batches of 64. Bias, variance and mean squared error are of the last 500 estimates of each level.
`--preset paper` has the constants of both official notebooks: 4,000 steps per level for every estimator, and Poole's
critic of the concatenated pair, which takes hours on a CPU. `quick` keeps CLUB's study as published, and gives that of
Poole the separable critic, fewer steps per level and fewer estimators.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.information.estimators import named
from experiments.information.gaussian_measures import EvaluateConfig, Stage, Toys
from experiments.information.gaussian_report import findings
from experiments.information.gaussian_stages import stages_of, train
from experiments.session import Session, command_of
from train import config as train_config
from train.bounds import AtLeast, Choices, NonEmpty
from train.config import TrainConfig
from train.data.correlated_pairs import Toy
from train.errors import UserError
from train.steps import mi_estimators


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The pairs of x and y."""

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
    """The estimators: `club/CLUB`, `poole/NWJ` and so on, a study (`club`), or `all`."""
    poole_steps: Annotated[int, AtLeast(0)] = 0
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


def flow(session: Session[Config], config: Config) -> None:
    """config -> pairs of known mutual information -> one estimator after the other -> report."""
    known, toys = chosen(config), Toys(config.data.levels, config.data.dim, config.train.batch_size)
    session.begin()
    for stage in stages(config):
        train(session, stage, known[stage.estimator], toys, config.train)
    sides = {name: mi_estimators.side(estimator) for name, estimator in known.items()}
    session.report(lambda run: findings(run, stages(config), toys, config.evaluate, sides))


def stages(config: Config) -> list[Stage]:
    """Everything that is trained, in the order of the report."""
    return stages_of(config.data.toys, chosen(config), partial(steps_of, config))


def chosen(config: Config) -> dict[str, mi_estimators.Estimator]:
    """The estimators that --estimators names, as study/estimator."""
    return named(config.estimators, config.club, config.poole)


def steps_of(config: Config, name: str) -> int:
    """Total updates of an estimator."""
    return (config.poole_steps if name.startswith("poole/") else 0) or config.train.steps


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    chosen(config)
    _check_training(config)


def _check_training(config: Config) -> None:
    remedy = "give 0; every estimate is on a fresh batch"
    cli.refuse(config.train, ("evaluate_every", "patience", "ema_decay"), remedy)
    if config.train.log_every != 1:
        raise UserError("--train.log-every", config.train.log_every, "leaves out estimates", "give 1")
    train_config.check(config.train)
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
