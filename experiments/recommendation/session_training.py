"""How one model of `gru4rec_sessions` is trained, validated, measured and put to use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from experiments import cli
from experiments.recommendation import training
from experiments.recommendation.choice import announce
from experiments.recommendation.serving import CATALOGUE, RecommendingSystem, Scores
from experiments.recommendation.session_data import DataConfig, Log, evidence, validation_part
from experiments.session import Session, Trained
from experiments.weight_names import published
from jaxmodels.gru4rec import Hidden, zero_hidden
from jaxmodels.torch_import.gru4rec import export_state_dict, import_state_dict
from train import config as train_config
from train import devices, seeds
from train.bounds import AtLeast, NonEmpty
from train.config import TrainConfig
from train.data.session_parallel import Schedule, SessionFeed, session_parallel
from train.data.sessions import SessionData
from train.errors import UserError
from train.metrics.sessions import Ties, places_in_sessions, ranks, session_metrics
from train.steps import gru4rec
from train.steps.gru4rec import GRU4RecConfig, GRU4RecState, RankingConfig
from train.task import Task

LossName = Literal["xe", "bpr-max", "top1-max", "bpr", "top1"]
CRITERION_AT = 20
CRITERION = f"mrr@{CRITERION_AT}"
"""Validation is by MRR@20, as the official search of parameters is."""
RESUMABLE = (*(name for name in train_config.RESUMABLE if name != "train.steps"), "evaluate.at", "preset")
"""Settings that may change when a run is resumed: not --train.steps, which decides whether validation chooses."""
TITLES: dict[LossName, str] = {
    "xe": "GRU4Rec, cross-entropy",
    "bpr-max": "GRU4Rec, BPR-max",
    "top1-max": "GRU4Rec, TOP1-max",
    "bpr": "GRU4Rec, BPR",
    "top1": "GRU4Rec, TOP1",
}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How predictions are judged."""

    at: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (5, 10, 20)
    """Lengths of the list: Recall@N and MRR@N. The last one is that of the figures."""
    ties: Ties = "conservative"
    """The rank among equal scores: after all of them, before them, or in the middle."""
    stopping: Literal["validation", "fixed"] = "validation"
    """Where the number of epochs comes from: the best MRR@20 in the last days of the training part, or the loss's own.
    --train.steps, where given, takes precedence over either."""
    batch_size: Annotated[int, AtLeast(1)] = 256
    """Sessions that are scored at once."""


@dataclass(frozen=True)
class SessionModel:
    """GRU4Rec with one of the losses: what is trained, by what, and how it is judged."""

    network: GRU4RecConfig
    objective: RankingConfig
    evaluate: EvaluateConfig


@dataclass(frozen=True, kw_only=True)
class SessionSystem(RecommendingSystem):
    """A model of a run, named by its loss; it is tested where it was trained on the whole training part."""

    model: SessionModel

    @property
    def choosing(self) -> str:
        """The folder of the training that chooses the number of epochs."""
        return f"{self.name}/choosing"


class TrainedSystem(NamedTuple):
    """The stacked state of all seeds of a system, and for how many epochs it was trained."""

    system: SessionSystem
    state: GRU4RecState
    epochs: float


class Places(NamedTuple):
    """Where the targets stand: items that score more, and items that score the same, the target counted."""

    above: Int[np.ndarray, "seeds predictions"]
    level: Int[np.ndarray, "seeds predictions"]


def system_of(
    loss: LossName, model: SessionModel, item_ids: Sequence[str], config: cli.RunConfig, limits: TrainConfig
) -> SessionSystem:
    """A loss's model as a system of a run on these items, with the names of PyTorch.

    Whichever checkpoint is asked for, the last one is for use: its number of epochs is the best one.
    """
    return SessionSystem(
        name=loss,
        title=TITLES[loss],
        task=task(model, len(item_ids), limits.batch_size),
        config=config,
        limits=limits,
        stage=f"{loss}/final",
        names=published(export_state_dict, import_state_dict),
        files=(CATALOGUE,),
        item_ids=item_ids,
        recommender=partial(session_scores, model, len(item_ids)),
        only="last",
        model=model,
    )


def chooses(evaluate: EvaluateConfig, train: TrainConfig) -> bool:
    """Whether validation chooses the number of epochs; --train.steps leaves it nothing to choose."""
    return evaluate.stopping == "validation" and not train.steps


def choosing_part(
    log: Log, data: DataConfig, evaluate: EvaluateConfig, train: TrainConfig
) -> SessionData | None:
    """The training part, its last days for validation; None where nothing is chosen by them.

    Raises:
      UserError: nothing is left to learn from, or nothing to predict.
    """
    return validation_part(log, data) if chooses(evaluate, train) else None


def refuse_other_stopping(session: Session[Any], given: EvaluateConfig) -> None:
    """Raises UserError where a run is measured as if another rule had chosen its number of epochs."""
    if not session.replays or session.opened is None:
        return
    trained_by = session.experiment.saved(session.opened).evaluate.stopping
    if given.stopping != trained_by:
        problem = f"the run was trained by {trained_by!r}"
        raise UserError("--evaluate.stopping", given.stopping, problem, "leave it out")


def train(
    session: Session[Any], system: SessionSystem, data: SessionData, part: SessionData | None, days: float
) -> TrainedSystem:
    """All seeds: where validation chooses, trained first without the last training days, then with them.

    Args:
      session: of the run.
      system: what and how.
      data: of both parts.
      part: the training part, its last days for validation; None where nothing chooses.
      days: how many these are.
    """
    if session.replays:
        trained = session.stored(system.task, system.limits, system.stage)
    else:
        epochs = system.model.objective.epochs if part is None else choose(session, system, part, days)
        steps = system.limits.steps
        length = f"{steps} updates" if steps else f"{epochs} epochs"
        cli.say(f"{system.name}: {length} of {len(data.train):,} sessions of {len(data.item_ids):,} items")
        trained = _fit(session, system, data, epochs, system.stage, validate=False)
    state = devices.on_one_device(trained.state("last"))
    # The epochs are those that the updates of the state make; all seeds have as many.
    return TrainedSystem(system, state, int(np.max(state.step)) / len(epoch_schedule(system, data)))


def choose(session: Session[Any], system: SessionSystem, part: SessionData, days: float) -> int:
    """The number of epochs with the best mean over seeds, from the log of a training without the last days."""
    announce(
        f"{system.name}: the number of epochs is chosen in the last {days:g} days of the training part",
        evidence(part),
    )
    _fit(session, system, part, system.model.objective.epochs, system.choosing, validate=True)
    curve = training.read_curve(session.run.in_stage(system.choosing), CRITERION)
    if not curve.values.size:
        remedy = f"finish it with --resume {session.run.path}"
        raise UserError("RUN_DIR", session.run.path, f"{system.name} was never validated", remedy)
    return -(-training.best_steps(curve) // len(epoch_schedule(system, part)))


def _fit(
    session: Session[Any], system: SessionSystem, data: SessionData, epochs: int, stage: str, validate: bool
) -> Trained[GRU4RecState]:
    schedule = epoch_schedule(system, data)
    limits = settings(system.limits, epochs, len(schedule), validate)
    whole = gru4rec.item_arrays(data.support, system.model.objective)

    def validation(mesh: Mesh) -> dict[str, np.ndarray]:
        return _as_one_batch(judging_schedule(system.model.evaluate, data))

    feed = partial(SessionFeed.place, schedule, whole)
    return session.fit(system.task, feed, validation if validate else None, limits, stage)


def settings(config: TrainConfig, epochs: int, steps_per_epoch: int, validate: bool) -> TrainConfig:
    """Steps for epochs, where --train.steps is 0, and an evaluation after each epoch of validation."""
    steps = config.steps or epochs * steps_per_epoch
    return replace(config, steps=steps, evaluate_every=min(steps, steps_per_epoch) if validate else 0)


def epoch_schedule(system: SessionSystem, data: SessionData) -> Schedule:
    """Of a training epoch; a row that is alone has no negatives, unless there are additional ones."""
    least = 1 if system.model.objective.samples else 2
    schedule = session_parallel(data.train, system.limits.batch_size, least)
    if not len(schedule):
        problem = f"{len(data.train)} training sessions make no batch of two"
        raise UserError("--data.path", data.train.items.size, problem, "give a longer log")
    return schedule


def judging_schedule(evaluate: EvaluateConfig, data: SessionData) -> Schedule:
    """Of the test part."""
    return session_parallel(data.test, min(evaluate.batch_size, len(data.test)))


def _as_one_batch(schedule: Schedule) -> dict[str, np.ndarray]:
    """[1, slots, steps]: slots come first, so that they are what is divided over devices."""
    return {name: array.T[None] for name, array in schedule.batches.items()}


def task(model: SessionModel, items: int, batch_size: int) -> Task[GRU4RecState]:
    """What `fit` trains; what it validates by is MRR@20."""

    def eval_step(state: GRU4RecState, batch: dict[str, Array], key: jax.Array) -> dict[str, Array]:
        schedule = {name: array.T for name, array in batch.items()}
        rank = ranks(*predict(model, state, schedule), model.evaluate.ties)
        values = session_metrics(rank, (CRITERION_AT,))
        return {name: jnp.mean(v, where=schedule["valid"]) for name, v in values.items()}

    config = {"config": model.network, "objective": model.objective}
    init = partial(gru4rec.init_state, items=items, batch_size=batch_size, **config)
    return Task(
        init=init,
        train_step=partial(gru4rec.train_step, **config),
        use=partial(first_scores, model),
        eval_step=eval_step,
        criterion=CRITERION,
        maximise=True,
    )


def first_scores(model: SessionModel, state: GRU4RecState) -> Array:
    """The scores of all items to follow the first one."""
    hidden, item = zero_hidden(1, model.network.layers), jnp.zeros(1, jnp.int32)
    reset = jnp.ones(1, bool)
    return gru4rec.advance(state.params, hidden, item, reset, model.network, model.objective)[1]


def predict(model: SessionModel, state: GRU4RecState, schedule: dict[str, Array]) -> tuple[Array, Array]:
    """(above, level) [steps, slots] of every target of a schedule, as `places` counts."""

    def advance(hidden: Hidden, item: Array, reset: Array) -> tuple[Hidden, Array]:
        return gru4rec.advance(state.params, hidden, item, reset, model.network, model.objective)

    return places_in_sessions(
        advance, zero_hidden(schedule["input"].shape[1], model.network.layers), schedule
    )


def measure(trained: TrainedSystem, data: SessionData) -> Places:
    """Where every target of the test part stands."""
    model = trained.system.model
    schedule = judging_schedule(model.evaluate, data)
    arrays = {name: jnp.asarray(array) for name, array in schedule.batches.items()}
    of_seeds = seeds.over_seeds(partial(predict, model), (0, None), len(trained.state.step))
    above, level = jax.jit(of_seeds)(trained.state, arrays)
    return Places(*(schedule.in_event_order(np.asarray(a)) for a in (above, level)))


def session_scores(model: SessionModel, items: int, state: GRU4RecState) -> Scores:
    """Scores [n, items] of what comes next in n sessions, each given by its items so far; of one seed's state."""
    config = {"config": model.network, "objective": model.objective}
    advance = jax.jit(partial(gru4rec.advance, **config))

    def scores(histories: Sequence[Sequence[int]]) -> np.ndarray:
        length = np.asarray([len(history) for history in histories])
        if not length.all():
            raise UserError("history", int(np.argmin(length)), "holds no item", "give at least one")
        found = np.zeros((len(histories), items), np.float32)
        hidden = zero_hidden(len(histories), model.network.layers)
        for place in range(length.max(initial=0)):
            item = np.asarray([history[min(place, len(history) - 1)] for history in histories], np.int32)
            hidden, now = advance(state.params, hidden, item, np.full(len(item), place == 0))
            done = length == place + 1
            found[done] = np.asarray(now)[done]
        return found

    return scores
