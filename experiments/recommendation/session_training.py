"""How one model of `gru4rec_sessions` is trained, validated, measured and put to use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from experiments import cli
from experiments.recommendation import training
from experiments.recommendation.choice import announce
from experiments.recommendation.session_data import (
    DataConfig,
    Log,
    evidence,
    validation_days,
    validation_part,
)
from jaxmodels.gru4rec import Hidden, zero_hidden
from train import devices, seeds
from train.config import TrainConfig
from train.data.session_parallel import Schedule, SessionFeed, session_parallel
from train.data.sessions import SessionData
from train.errors import UserError
from train.loop import fit
from train.metrics.sessions import Ties, places_in_sessions, ranks, session_metrics
from train.run_directory import RunDirectory
from train.steps import gru4rec
from train.steps.gru4rec import GRU4RecConfig, GRU4RecState, RankingConfig
from train.stored_state import load_state
from train.task import Task

LossName = Literal["xe", "bpr-max", "top1-max", "bpr", "top1"]
CRITERION_AT = 20
CRITERION = f"mrr@{CRITERION_AT}"
"""Validation is by MRR@20, as the official search of parameters is."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How predictions are judged."""

    at: tuple[int, ...] = (5, 10, 20)
    """Lengths of the list: Recall@N and MRR@N. The last one is that of the figures."""
    ties: Ties = "conservative"
    """The rank among equal scores: after all of them, before them, or in the middle."""
    stopping: Literal["validation", "fixed"] = "validation"
    """Where the number of epochs comes from: the best MRR@20 in the last days of the training part, or the loss's own.
    --train.steps, where given, takes precedence over either."""
    batch_size: int = 256
    """Sessions that are scored at once."""


class System(NamedTuple):
    """One model of a run: the loss that names it, and its settings.

    Attributes:
      loss: its name.
      network: what is trained.
      objective: by what.
      train: how.
      evaluate: how it is judged.
      data: on what, and how long validation lasts.
      seed: number of the first seed.
      seeds: how many.
    """

    loss: LossName
    network: GRU4RecConfig
    objective: RankingConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    data: DataConfig
    seed: int
    seeds: int

    @property
    def stages(self) -> tuple[str, str]:
        """The folders of the training that chooses the number of epochs and of that which is tested."""
        return f"{self.loss}/choosing", f"{self.loss}/final"

    @property
    def chooses(self) -> bool:
        """Whether validation chooses the number of epochs; --train.steps leaves it nothing to choose."""
        return self.evaluate.stopping == "validation" and not self.train.steps


class Trained(NamedTuple):
    """The stacked state of all seeds of a system, and for how many epochs it was trained."""

    system: System
    state: GRU4RecState
    epochs: float


class Places(NamedTuple):
    """Where the targets stand: items that score more, and items that score the same, the target counted."""

    above: Int[np.ndarray, "seeds predictions"]
    level: Int[np.ndarray, "seeds predictions"]


def train(
    system: System, log: Log, data: SessionData, run: RunDirectory, mesh: Mesh, **fitting: Any
) -> Trained:
    """Trains all seeds: where validation chooses, first without the last training day, then with it.

    Args:
      system: what and how.
      log: of both parts.
      data: its numbered form.
      run: where checkpoints and metrics go.
      mesh: the devices.
      fitting: further arguments of `fit`.
    """
    if system.chooses:
        part = validation_part(log, system.data)
        days = validation_days(system.data)
        announce(
            f"{system.loss}: the number of epochs is chosen in the last {days:g} days of the training part",
            evidence(part),
        )
        _fit(system, part, system.objective.epochs, run.in_stage(system.stages[0]), mesh, True, fitting)
    epochs = chosen_epochs(system, log, run)
    length = f"{system.train.steps} updates" if system.train.steps else f"{epochs} epochs"
    cli.say(f"{system.loss}: {length} of {len(data.train):,} sessions of {len(data.item_ids):,} items")
    state = _fit(system, data, epochs, run.in_stage(system.stages[1]), mesh, False, fitting)
    return _trained(system, data, devices.on_one_device(state))


def load(system: System, data: SessionData, run: RunDirectory) -> Trained:
    """What `train` left."""
    return _trained(system, data, load_trained(system, len(data.item_ids), run))


def _trained(system: System, data: SessionData, state: GRU4RecState) -> Trained:
    """The epochs are those that the updates of the state make; all seeds have as many."""
    return Trained(system, state, int(np.max(state.step)) / len(epoch_schedule(system, data)))


def load_trained(system: System, items: int, run: RunDirectory) -> GRU4RecState:
    """The newest states of all seeds.

    Raises:
      UserError: there are none.
    """
    keys = seeds.seed_keys(system.seed, system.seeds)
    return load_state(task(system, items), keys, system.train, run.in_stage(system.stages[1]), "last")


def chosen_epochs(system: System, log: Log, run: RunDirectory) -> int:
    """The number of epochs with the best mean over seeds, from the log; the settings' own where nothing chooses."""
    if not system.chooses:
        return system.objective.epochs
    curve = training.read_curve(run.in_stage(system.stages[0]), CRITERION)
    if not curve.values.size:
        remedy = f"finish it with --resume {run.path}"
        raise UserError("RUN_DIR", run.path, f"{system.loss} was never validated", remedy)
    return -(-training.best_steps(curve) // len(epoch_schedule(system, validation_part(log, system.data))))


def _fit(
    system: System,
    data: SessionData,
    epochs: int,
    run: RunDirectory,
    mesh: Mesh,
    validate: bool,
    fitting: dict[str, Any],
) -> GRU4RecState:
    schedule = epoch_schedule(system, data)
    whole = gru4rec.item_arrays(data.support, system.objective)
    return fit(
        task(system, len(data.item_ids)),
        SessionFeed.place(schedule, whole, mesh),
        _as_one_batch(judging_schedule(system, data)) if validate else None,
        seeds.seed_keys(system.seed, system.seeds),
        settings(system.train, epochs, len(schedule), validate),
        run,
        mesh,
        first_seed=system.seed,
        **fitting,
    ).last


def settings(config: TrainConfig, epochs: int, steps_per_epoch: int, validate: bool) -> TrainConfig:
    """Steps for epochs, where --train.steps is 0, and an evaluation after each epoch of validation."""
    steps = config.steps or epochs * steps_per_epoch
    return replace(config, steps=steps, evaluate_every=min(steps, steps_per_epoch) if validate else 0)


def epoch_schedule(system: System, data: SessionData) -> Schedule:
    """Of a training epoch; a row that is alone has no negatives, unless there are additional ones."""
    least = 1 if system.objective.samples else 2
    schedule = session_parallel(data.train, system.train.batch_size, least)
    if not len(schedule):
        problem = f"{len(data.train)} training sessions make no batch of two"
        raise UserError("--data.path", data.train.items.size, problem, "give a longer log")
    return schedule


def judging_schedule(system: System, data: SessionData) -> Schedule:
    """Of the test part."""
    return session_parallel(data.test, min(system.evaluate.batch_size, len(data.test)))


def _as_one_batch(schedule: Schedule) -> dict[str, np.ndarray]:
    """[1, slots, steps]: slots come first, so that they are what is divided over devices."""
    return {name: array.T[None] for name, array in schedule.batches.items()}


def task(system: System, items: int) -> Task:
    """What `fit` trains; what it validates by is MRR@20."""

    def eval_step(state: GRU4RecState, batch: dict[str, Array], key: jax.Array) -> dict[str, Array]:
        schedule = {name: array.T for name, array in batch.items()}
        rank = ranks(*predict(system, state, schedule), system.evaluate.ties)
        values = session_metrics(rank, (CRITERION_AT,))
        return {name: jnp.mean(v, where=schedule["valid"]) for name, v in values.items()}

    config = {"config": system.network, "objective": system.objective}
    init = partial(gru4rec.init_state, items=items, batch_size=system.train.batch_size, **config)
    return Task(
        init=init,
        train_step=partial(gru4rec.train_step, **config),
        use=partial(first_scores, system),
        eval_step=eval_step,
        criterion=CRITERION,
        maximise=True,
    )


def first_scores(system: System, state: GRU4RecState) -> Array:
    """The scores of all items to follow the first one."""
    hidden, item = zero_hidden(1, system.network.layers), jnp.zeros(1, jnp.int32)
    reset = jnp.ones(1, bool)
    return gru4rec.advance(state.params, hidden, item, reset, system.network, system.objective)[1]


def predict(system: System, state: GRU4RecState, schedule: dict[str, Array]) -> tuple[Array, Array]:
    """(above, level) [steps, slots] of every target of a schedule, as `places` counts."""

    def advance(hidden: Hidden, item: Array, reset: Array) -> tuple[Hidden, Array]:
        return gru4rec.advance(state.params, hidden, item, reset, system.network, system.objective)

    return places_in_sessions(
        advance, zero_hidden(schedule["input"].shape[1], system.network.layers), schedule
    )


def measure(trained: Trained, data: SessionData) -> Places:
    """Where every target of the test part stands."""
    schedule = judging_schedule(trained.system, data)
    arrays = {name: jnp.asarray(array) for name, array in schedule.batches.items()}
    of_seeds = seeds.over_seeds(partial(predict, trained.system), (0, None), trained.system.seeds)
    above, level = jax.jit(of_seeds)(trained.state, arrays)
    return Places(*(schedule.in_event_order(np.asarray(a)) for a in (above, level)))


def session_scores(
    system: System, state: GRU4RecState, items: int
) -> Callable[[Sequence[Sequence[int]]], np.ndarray]:
    """Scores [n, items] of what comes next in n sessions, each given by its items so far; of one seed's state."""
    config = {"config": system.network, "objective": system.objective}
    advance = jax.jit(partial(gru4rec.advance, **config))

    def scores(histories: Sequence[Sequence[int]]) -> np.ndarray:
        length = np.asarray([len(history) for history in histories])
        if not length.all():
            raise UserError("history", int(np.argmin(length)), "holds no item", "give at least one")
        found = np.zeros((len(histories), items), np.float32)
        hidden = zero_hidden(len(histories), system.network.layers)
        for place in range(length.max(initial=0)):
            item = np.asarray([history[min(place, len(history) - 1)] for history in histories], np.int32)
            hidden, now = advance(state.params, hidden, item, np.full(len(item), place == 0))
            done = length == place + 1
            found[done] = np.asarray(now)[done]
        return found

    return scores
