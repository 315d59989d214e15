"""Training on users x items: the stages of a model, and what is chosen on validation data.

A model of a run is a `UserSystem`: how it starts, one update, and scores. Each is trained in a stage of the run and
chosen on validation users (strong generalisation) or validation items (weak), as are the settings of the baselines.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, PyTree
from scipy.sparse import csr_array

from experiments import cli
from experiments.recommendation.choice import (
    Curve,
    announce,
    best_steps,
    evidence,
    read_curve,
    validation_score,
)
from experiments.recommendation.data import Data, DataConfig, check_data, open_data
from experiments.recommendation.measures import EvaluateConfig, Setting
from experiments.recommendation.serving import (
    CATALOGUE,
    Catalogue,
    RecommendingSystem,
    UserScores,
    catalogue_of,
    for_new_users,
    read_catalogue,
    without_padding,
)
from experiments.session import Session
from experiments.weight_names import Names
from train import config as train_config
from train import devices, item_shards
from train.bounds import AtLeast
from train.config import TrainConfig
from train.data.generalisation import Queries
from train.data.interactions import UserRows, row_batches, size, widened
from train.errors import UserError
from train.feed import DeviceFeed
from train.metrics.ranking import rank_metrics
from train.run_directory import RunDirectory
from train.task import Task

CHANGEABLE = (*train_config.RESUMABLE, "evaluate", "preset")


@dataclass(frozen=True, kw_only=True)
class RunConfig(cli.RunConfig):
    """Settings that every experiment on users x items shares."""

    epochs: Annotated[int, AtLeast(1)] = 200
    """Passes over the training users, where --train.steps is 0."""
    mesh: str = ""
    """The devices, such as data=4,items=2 (empty: all over the users)."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


Init = Callable[[jax.Array], Any]
"""key -> state."""
TrainStep = Callable[[Any, dict[str, Array]], tuple[Any, dict[str, Array]]]
"""(state, {"x", "user"}) -> (state, metrics)."""


@dataclass(frozen=True, kw_only=True)
class UserSystem(RecommendingSystem):
    """A model of a run.

    Attributes:
      width: columns of its matrices, at least the items.
      scores: see `UserScores`.
      choosing: the folder of the training that chooses; `stage`, of that which is tested, is the same for strong
        generalisation.
      note: for the table.
    """

    config: RunConfig
    width: int
    scores: UserScores
    choosing: str
    note: str


def user_system(
    config: Any,
    setting: Setting,
    catalogue: Catalogue,
    *,
    name: str,
    title: str,
    init: Init,
    train_step: TrainStep,
    scores: UserScores,
    names: Names,
    note: str,
) -> UserSystem:
    """One of `config.models` for the items of a catalogue; see `UserSystem` and its bases."""
    strong, stage = setting.protocol == "strong", name.lower()
    return UserSystem(
        name=name,
        title=title,
        task=_task(init, train_step, scores, setting.criterion, catalogue),
        config=replace(config, models=(name,)),
        limits=config.train,
        choosing=stage if strong else f"{stage}/choosing",
        stage=stage if strong else f"{stage}/final",
        serves="best" if strong else "last",
        only=None if strong else "last",
        names=without_padding(names, catalogue),
        files=(CATALOGUE,),
        item_ids=catalogue.item_ids,
        recommender=partial(for_new_users, scores, catalogue),
        width=catalogue.width,
        scores=scores,
        note=note,
    )


MakeSystem = Callable[[Any, Catalogue, Any], UserSystem]
"""(settings, catalogue, one of their `models`) -> that model."""


def systems(system: MakeSystem, config: Any, run: RunDirectory) -> dict[str, UserSystem]:
    """The models of a run by name, for the items that it kept."""
    catalogue = read_catalogue(run)
    return {name: system(config, catalogue, name) for name in config.models}


def best_on_validation(system: MakeSystem, setting: Setting, config: Any, run: RunDirectory) -> str:
    """The name of the model of a run whose validation score is highest; the only one, whatever its score.

    Raises:
      UserError: none of several was ever evaluated.
    """
    if len(config.models) == 1:
        return config.models[0]
    scores = {
        name: validation_score(read_curve(run.in_stage(one.choosing), setting.criterion), setting)
        for name, one in systems(system, config, run).items()
    }
    evaluated = [name for name, score in scores.items() if not math.isnan(score)]
    if not evaluated:
        raise UserError("RUN_DIR", run.path, "no model of it has been evaluated yet", "train it first")
    return max(evaluated, key=lambda name: scores[name])


def mesh_of(config: RunConfig) -> Mesh:
    """The devices that the settings ask for.

    Raises:
      UserError: there are others.
    """
    return devices.item_mesh(config.mesh)


def begin(session: Session[Any], setting: Setting) -> tuple[Data, Catalogue]:
    """Opens the data, begins the run, and keeps in it what serving has to know of them.

    Raises:
      UserError: the data can't be read or split, or the run can't begin.
    """
    data = open_data(session.config.data, setting.protocol)
    session.begin()
    return data, catalogue_of(session, data)


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


def _task(
    init: Init, train_step: TrainStep, scores: UserScores, criterion: str, catalogue: Catalogue
) -> Task[Any]:
    """What `fit` trains: chosen by the mean of the criterion over validation users with something to be found."""
    k, items, width = int(criterion.split("@")[1]), catalogue.items, catalogue.width

    def eval_step(state: Any, batch: Mapping[str, Any], key: jax.Array) -> dict[str, Array]:
        given, held = (batch[name].multi_hot(width) for name in ("given", "held"))
        scored = scores(state.params, given, batch["user"])
        value = rank_metrics(scored, given, held, (k,), items)[criterion]
        count = (held.sum(1) > 0).sum().astype(jnp.float32)
        mean = jnp.where(held.sum(1) > 0, value, 0).sum() / jnp.maximum(count, 1)
        return {criterion: mean, "weight": count}

    return Task(
        init=lambda key: item_shards.pad_items(init(key), items, width),
        train_step=train_step,
        use=lambda state: scores(state.params, jnp.zeros((1, width)), jnp.full(1, -1)),
        eval_step=eval_step,
        criterion=criterion,
        maximise=True,
        partition=partial(item_shards.partition, items=width),
    )


class Validated(NamedTuple):
    """A system with the stacked state to test, on one device, and its validation."""

    system: UserSystem
    state: Any
    curve: Curve


def train(session: Session[Any], system: UserSystem, data: Data) -> Validated:
    """Trains one system with all its seeds, or reads what is to be tested where the session replays.

    Strong generalisation: what is tested is each seed's best state on validation users. Weak: a first training
    leaves the validation items out and says how many updates are best, the same for all seeds; a second one makes so
    many with all training items.
    """
    split, config = data.split, system.config
    limits = schedule(config.train, config.epochs, size(split.train)[0])
    if not session.replays:
        cli.say(f"{system.title} on {data.name}:")
        announce(f"  {system.title}: the number of updates is chosen", evidence(data))

    def validation(_: Mesh) -> PyTree:
        return batches(split.validation, config.evaluate.batch_size)

    def feed(matrix: csr_array) -> Callable[[Mesh], DeviceFeed]:
        return partial(_feed, matrix, limits.batch_size, system.width)

    trained = session.fit(system.task, feed(split.train), validation, limits, system.choosing)
    curve = read_curve(session.run.in_stage(system.choosing), system.task.criterion)
    if split.final is not None:
        if not session.replays:
            limits = replace(limits, steps=best_steps(curve), evaluate_every=0, patience=0)
            cli.say(f"  {system.title}: {limits.steps} updates with the validation items as well")
        del trained  # so that its states make room
        trained = session.fit(system.task, feed(split.final), None, limits, system.stage)
    return Validated(system, _to_measure(trained.state(system.serves), session.mesh), curve)


def _to_measure(state: Any, mesh: Mesh) -> Any:
    """The state on one device, without its optimiser: test users are measured there, whole, also where training has
    the items divided."""
    state = state.replace(optimiser=None)
    if devices.ITEMS in mesh.axis_names:
        return jax.device_put(state, jax.local_devices()[0])
    return devices.on_one_device(state)


def best_of(trained: Sequence[Validated], setting: Setting) -> str:
    """The title of the system whose validation score is highest; empty where none was ever evaluated."""
    scores = {one.system.title: validation_score(one.curve, setting) for one in trained}
    evaluated = [title for title, score in scores.items() if not math.isnan(score)]
    return max(evaluated, key=lambda title: scores[title], default="")


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
    # The models are small enough for every device, whether a batch divides over the devices or not.
    given = config.train
    some = replace(given, steps=given.steps or 1, evaluate_every=given.evaluate_every or 1)
    train_config.check(some, devices=1)


def _feed(matrix: csr_array, batch_size: int, width: int, mesh: Mesh) -> DeviceFeed:
    rows = np.arange(size(matrix)[0], dtype=np.int32)
    return DeviceFeed.place(UserRows(widened(matrix, width)), rows, batch_size, mesh)
