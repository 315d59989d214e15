"""The trainings of `mi_gaussian`: every estimator on every toy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax

from experiments import cli
from experiments.information.gaussian_measures import End, Stage, Toys, read_end, write_end
from experiments.session import Session
from train.config import TrainConfig
from train.data.correlated_pairs import CorrelatedPairs, Toy
from train.loop import NonFiniteError
from train.steps import mi_estimators
from train.steps import mutual_information as mi
from train.steps.mi_estimators import Estimator
from train.task import Task


def stages_of(
    kinds: Sequence[Toy], estimators: Mapping[str, Estimator], steps: Callable[[str], int]
) -> list[Stage]:
    """Every estimator on every kind of pairs, in the order of the report; `steps` of an estimator by its name."""
    return [
        Stage(toy, name, steps(name))
        for toy in kinds
        for name, estimator in estimators.items()
        # One with a known conditional knows that of the Gaussians.
        if toy == "gaussian" or not isinstance(estimator, mi_estimators.Known)
    ]


def train(session: Session[Any], stage: Stage, estimator: Estimator, toys: Toys, limits: TrainConfig) -> None:
    """Trains an estimator, every seed on pairs of its own, which are those of that seed in every stage.

    Bounds with an exponential can diverge, NWJ on cubes does: that is a result, not an end. What has ended
    is not trained again.
    """
    if session.replays or read_end(session.run, stage) is not None:
        return
    cli.say(f"{stage.toy} pairs, {stage.estimator}")
    each = stage.steps // len(toys.levels)
    pairs = CorrelatedPairs(toys.levels, each, toys.batch_size, toys.dim, stage.toy)
    began, diverged = time.monotonic(), ""
    try:
        task = task_of(estimator, toys.dim)
        session.fit(task, lambda mesh: pairs, None, replace(limits, steps=stage.steps), stage.folder)
    except NonFiniteError as error:
        diverged = f"{error.term} is not finite at step {error.step}"
        cli.say(f"{stage.estimator} diverged: {diverged}")
    if jax.process_index() == 0:
        write_end(session.run, stage, End(time.monotonic() - began, diverged))


def task_of(estimator: Estimator, dim: int) -> Task:
    """What `fit` trains; all results are in the log."""
    return Task(
        init=partial(mi.init_state, estimator=estimator, dim=dim),
        train_step=partial(mi.train_step, estimator=estimator),
        use=None,
    )
