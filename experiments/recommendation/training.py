"""The flow of the experiments on users x items: stages of training, and what is chosen on validation data.

A model of a run is a `System`: how it starts, one update, and scores. Each is trained in a stage of the run and
chosen on validation users (strong generalisation) or validation items (weak), as are the settings of the baselines.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Num, PyTree
from scipy.sparse import csr_array

from experiments import cli
from experiments.recommendation.choice import Evidence, announce
from experiments.recommendation.data import Data, DataConfig, check_data
from experiments.recommendation.measures import (
    EvaluateConfig,
    Setting,
    check_evaluation,
)
from train import config as train_config
from train import devices, item_shards, seeds
from train.config import TrainConfig
from train.data.generalisation import Queries
from train.data.interactions import UserRows, row_batches, row_lengths, size, widened
from train.errors import UserError
from train.feed import DeviceFeed
from train.loop import Fitted, fit
from train.metrics.ranking import rank_metrics
from train.metrics_log import read_metrics
from train.run_directory import RunDirectory
from train.task import Task


@dataclass(frozen=True, kw_only=True)
class RunConfig(cli.RunConfig):
    """Settings that every experiment on users x items shares."""

    epochs: int = 200
    """Passes over the training users, where --train.steps is 0."""
    mesh: str = ""
    """The devices, such as data=4,items=2 (empty: all over the users)."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


class System(NamedTuple):
    """A model of a run.

    Attributes:
      stage: its folder in the run.
      name: in tables.
      init: key -> state.
      train_step: (state, {"x", "user"}) -> (state, metrics).
      scores: (params, x [b, items], user [b]) -> [b, items]; a user of -1 is one that training never saw.
      note: for the table.
    """

    stage: str
    name: str
    init: Callable[[jax.Array], Any]
    train_step: Callable[[Any, dict[str, Array]], tuple[Any, dict[str, Array]]]
    scores: Callable[[PyTree, Array, Array], Array]
    note: str = ""


def evidence(data: Data) -> Evidence:
    """The validation users with something to be found, by whom everything is chosen."""
    held = row_lengths(data.split.validation.held)
    return Evidence(int((held > 0).sum()), "user", int(held.sum()))


def batches(queries: Queries, at_a_time: int) -> dict[str, PyTree]:
    """Users in batches [count, at_a_time]: rows of given and held items, and who; -1 with empty rows fills the last."""
    width = min(at_a_time, len(queries.user))
    user = np.full(-(-len(queries.user) // width) * width, -1, np.int32)
    user[: len(queries.user)] = queries.user
    return {
        "given": row_batches(queries.given, width),
        "held": row_batches(queries.held, width),
        "user": user.reshape(-1, width),
    }


def task(system: System, criterion: str, items: int, width: int) -> Task:
    """What `fit` trains: chosen by the mean of the criterion over validation users with something to be found."""
    k = int(criterion.split("@")[1])

    def eval_step(state: Any, batch: Mapping[str, Any], key: jax.Array) -> dict[str, Array]:
        given, held = (batch[name].multi_hot(width) for name in ("given", "held"))
        scores = system.scores(state.params, given, batch["user"])
        value = rank_metrics(scores, given, held, (k,), items)[criterion]
        count = (held.sum(1) > 0).sum().astype(jnp.float32)
        mean = jnp.where(held.sum(1) > 0, value, 0).sum() / jnp.maximum(count, 1)
        return {criterion: mean, "weight": count}

    def init(key: jax.Array) -> Any:
        return item_shards.pad_items(system.init(key), items, width)

    return Task(
        init=init,
        train_step=system.train_step,
        use=lambda state: system.scores(state.params, jnp.zeros((1, width)), jnp.full(1, -1)),
        eval_step=eval_step,
        criterion=criterion,
        maximise=True,
        partition=partial(item_shards.partition, items=width),
    )


class Curve(NamedTuple):
    """Validation over training: updates or epochs, and the criterion of each seed after each."""

    steps: Num[np.ndarray, " evaluations"]
    values: Float[np.ndarray, "seeds evaluations"]

    def best(self) -> Float[np.ndarray, " seeds"]:
        """The best of each seed; NaN where there was no evaluation, as of weights from elsewhere."""
        return self.values.max(1) if self.values.size else np.full(len(self.values), np.nan)


class Trained(NamedTuple):
    """A system with the stacked state to test, on one device, and its validation."""

    system: System
    state: Any
    curve: Curve
    width: int


def train(
    config: RunConfig, system: System, data: Data, setting: Setting, run: RunDirectory, mesh: Mesh
) -> Trained:
    """Trains one system with all its seeds.

    Strong generalisation: what is tested is each seed's best state on validation users. Weak: a first training
    leaves the validation items out and says how many updates are best, the same for all seeds; a second one makes so
    many with all training items.
    """
    split, items, width = data.split, len(data.item_ids), items_width(len(data.item_ids), mesh)
    choosing, final = (run.in_stage(stage) for stage in stages(system, setting))

    def learn(matrix: csr_array, validation: PyTree, settings: TrainConfig, run: RunDirectory) -> Fitted:
        return fit(
            task(system, setting.criterion, items, width),
            _feed(matrix, settings, width, mesh),
            validation,
            seeds.seed_keys(config.seed, config.seeds),
            settings,
            run,
            mesh,
            first_seed=config.seed,
            profile=config.profile,
            tensorboard=config.tensorboard,
        )

    settings = schedule(config.train, config.epochs, size(split.train)[0])
    validation = batches(split.validation, config.evaluate.batch_size)
    announce(f"  {system.name}: the number of updates is chosen", evidence(data))
    state = learn(split.train, validation, settings, choosing).best
    curve = read_curve(choosing, setting.criterion)
    if split.final is not None:
        settings = replace(settings, steps=best_steps(curve), evaluate_every=0, patience=0)
        cli.say(f"  {system.name}: {settings.steps} updates with the validation items as well")
        state = learn(split.final, None, settings, final).last
    return Trained(system, _to_measure(state, mesh), curve, width)


def _to_measure(state: Any, mesh: Mesh) -> Any:
    """The state on one device, without its optimiser: test users are measured there, whole, also where training has
    the items divided."""
    state = state.replace(optimiser=None)
    if devices.ITEMS in mesh.axis_names:
        return jax.device_put(state, jax.local_devices()[0])
    return devices.on_one_device(state)


def stages(system: System, setting: Setting) -> tuple[str, str]:
    """The folders of the training that chooses and of that which is tested; the same for strong generalisation."""
    if setting.protocol == "strong":
        return system.stage, system.stage
    return f"{system.stage}/choosing", f"{system.stage}/final"


def best_on_validation(systems: Sequence[System], setting: Setting, run: RunDirectory) -> System:
    """The system whose validation score is highest; the only one, whatever its score.

    Raises:
      UserError: none of several was ever evaluated.
    """
    if len(systems) == 1:
        return systems[0]
    curves = {
        system.stage: read_curve(run.in_stage(stages(system, setting)[0]), setting.criterion)
        for system in systems
    }
    evaluated = [system for system in systems if curves[system.stage].values.size]
    if not evaluated:
        raise UserError("RUN_DIR", run.path, "no model of it has been evaluated yet", "train it first")
    return max(evaluated, key=lambda system: validation_score(curves[system.stage], setting))


def best_of(trained: Sequence[Trained], setting: Setting) -> str:
    """The name of the system whose validation score is highest."""
    return max(trained, key=lambda one: validation_score(one.curve, setting)).system.name


def validation_score(curve: Curve, setting: Setting) -> float:
    """What validation chose by: the mean of each seed's best (strong), or the best mean, at one step for all (weak)."""
    return float(curve.best().mean() if setting.protocol == "strong" else curve.values.mean(0).max())


def read_curve(run: RunDirectory, criterion: str) -> Curve:
    """The criterion at every evaluation, from the log; runs of earlier versions logged minus it, as a loss."""
    logged, parts = read_metrics(run.metrics), []
    for name, sign in (("validation/loss", -1), (f"validation/{criterion}", 1)):
        steps, values = logged.get(name, (np.zeros(0, int), np.zeros((0, 1))))
        parts.append((np.asarray(steps), sign * values.reshape(len(values), math.prod(values.shape[1:])).T))
    found = [part for part in parts if len(part[0])] or parts[:1]
    return Curve(*(np.concatenate(arrays, axis=-1) for arrays in zip(*found, strict=True)))


def best_steps(curve: Curve) -> int:
    """The number of updates whose mean criterion over seeds is highest."""
    return int(curve.steps[curve.values.mean(0).argmax()])


def items_width(items: int, mesh: Mesh) -> int:
    """Columns of the matrices on the devices: the items, padded so that they divide over the mesh."""
    return item_shards.padded(items, dict(mesh.shape).get(devices.ITEMS, 1))


def steps_per_epoch(users: int, batch_size: int) -> int:
    """Updates that see every user about once."""
    return -(-users // batch_size)


def schedule(config: TrainConfig, epochs: int, users: int) -> TrainConfig:
    """The settings of training with steps for epochs, where --train.steps is 0, and with one evaluation an epoch, where
    --train.evaluate-every is 0."""
    each = steps_per_epoch(users, config.batch_size)
    every = config.evaluate_every or each
    return replace(config, steps=config.steps or epochs * each, evaluate_every=every)


def check(config: RunConfig) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    check_data(config.data)
    check_evaluation(config.evaluate)
    cli.check_least(
        [
            ("--epochs", config.epochs, 1),
            ("--train.steps", config.train.steps, 0),
            ("--train.batch-size", config.train.batch_size, 1),
        ]
    )
    # The models are small enough for every device, whether a batch divides over the devices or not.
    train_config.check(schedule(config.train, config.epochs, config.train.batch_size), devices=1)


def _feed(matrix: csr_array, config: TrainConfig, width: int, mesh: Mesh) -> DeviceFeed:
    rows = np.arange(size(matrix)[0], dtype=np.int32)
    return DeviceFeed.place(UserRows(widened(matrix, width)), rows, config.batch_size, mesh)
