"""How the visual recommenders are fed, trained, validated and put to use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from experiments import cli
from experiments.recommendation.fashion_measures import (
    NAMES,
    TrainedStage,
    auc_of_users,
    known_rows,
    sizes,
)
from experiments.recommendation.serving import RecommendingSystem, Scores
from experiments.session import Session
from experiments.weight_names import own
from jaxmodels.visual_recommenders import Catalogue
from train import devices
from train.bounds import AtLeast
from train.config import TrainConfig
from train.data import interactions
from train.data.fashion import FashionData
from train.feed import DeviceFeed
from train.json_records import read_record
from train.metrics.auc import COLD, Ties, per_user
from train.run_directory import RunDirectory
from train.steps import visual_recommenders as visual
from train.steps.uniform_negatives import Records, records
from train.steps.visual_recommenders import Batch, RecommenderState, VisualConfig
from train.task import Task


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How AUC is measured."""

    ties: Ties = "strict"
    """Of equal scores: no success, as published; or half of one, as in the area under the ROC curve."""
    cold: Annotated[int, AtLeast(1)] = COLD
    """An item with fewer training records is cold."""


@dataclass(frozen=True, kw_only=True)
class VisualSystem(RecommendingSystem):
    """A model with one penalty, by its stage; what serves are each seed's states of the best validation AUC."""

    settings: VisualConfig


def system_of(
    stage: str,
    settings: VisualConfig,
    data: FashionData,
    evaluate: EvaluateConfig,
    config: cli.RunConfig,
    limits: TrainConfig,
) -> VisualSystem:
    """A stage of a run on these data, with our names of weights: none was published."""
    return VisualSystem(
        name=stage,
        title=NAMES[settings.kind],
        task=task(settings, data, evaluate.ties),
        config=config,
        limits=limits,
        stage=stage,
        serves="best",
        names=own(),
        item_ids=[str(i) for i in range(data.items)],
        recommender=partial(scores_of_new_users, settings, data),
        settings=settings,
    )


def train(
    session: Session[Any], systems: Mapping[str, VisualSystem], data: FashionData
) -> dict[str, TrainedStage]:
    """Every model with every penalty, one after the other."""
    if not session.replays:
        said = f"{data.users:,} users, {data.items:,} items, {data.train.nnz:,} training records"
        cli.say(f"{data.name}: {said}")
    return {stage: _train(session, system, data) for stage, system in systems.items()}


def _train(session: Session[Any], system: VisualSystem, data: FashionData) -> TrainedStage:
    """One model with one penalty, one set of parameters per seed, each at its best validation AUC."""
    if not session.replays:
        cli.say(f"training {system.stage}")
    limits = system.limits
    placed = partial(feed, data, limits.batch_size)
    trained = session.fit(system.task, placed, lambda _: validation_batch(data), limits, system.stage)
    return TrainedStage(system.settings, devices.on_one_device(trained.state("best")))


def chosen(run: RunDirectory, stages: Sequence[str]) -> str:
    """The training that validation chose, the only one where there is one.

    Raises:
      UserError: the run has no results yet, or they name no training of it.
    """
    if len(stages) == 1:
        return stages[0]
    remedy = "finish the run by --resume, or write the results again by evaluate"
    return read_record(run.path / "results.json", "RUN_DIR", run.path, remedy).text("chosen", stages)


def catalogue(data: FashionData) -> Catalogue:
    """What the models see of the items."""
    return Catalogue(jnp.asarray(data.features), jnp.asarray(data.categories))


@dataclass(frozen=True)
class Pairs:
    """Users with an item of theirs, for the feed, and what the draw of negatives needs."""

    data: FashionData

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays placed on the devices."""
        user, item = interactions.pairs(self.data.train)
        whole = {"features": self.data.features, "categories": self.data.categories}
        return {"user": user, "item": item, **whole, **records(self.data.train)._asdict()}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """{"user", "item": [B]}."""
        return {name: arrays[name][index] for name in ("user", "item")}


class TripleFeed(DeviceFeed):
    """Pairs of the step, divided over the devices, beside the whole data, which are not."""

    def batch(self, chunk: PyTree, order_key: jax.Array, step: Array, offset: Array) -> Batch:
        """The next pairs in the order of the seed's epochs."""
        whole, _ = chunk
        pairs = super().batch(chunk, order_key, step, offset)
        items = Catalogue(whole["features"], whole["categories"])
        return Batch(pairs["user"], pairs["item"], items, Records(whole["starts"], whole["absent"]))


def feed(data: FashionData, batch_size: int, mesh: Mesh) -> DeviceFeed:
    """All training records, on the devices."""
    return TripleFeed.place(Pairs(data), np.arange(data.train.nnz), batch_size, mesh)


def task(settings: VisualConfig, data: FashionData, ties: Ties) -> Task[RecommenderState]:
    """What `fit` trains, and validates by the mean over users of their AUC."""
    shape, rows = sizes(data), known_rows(data)

    def eval_step(state: RecommenderState, batch: Mapping[str, Any], key: jax.Array) -> dict[str, Array]:
        items = Catalogue(batch["features"], batch["categories"])
        score = partial(visual.scores, state.params, catalogue=items, config=settings, sizes=shape)
        auc = per_user(auc_of_users(score, rows, batch["known"], batch["held"], ties))
        return {"AUC": jnp.nanmean(auc)}

    return Task(
        init=partial(visual.init_state, config=settings, sizes=shape),
        train_step=partial(visual.train_step, config=settings, sizes=shape),
        use=lambda state: visual.all_items(state.params, catalogue(data), settings, shape),
        eval_step=eval_step,
        criterion="AUC",
        maximise=True,
    )


def validation_batch(data: FashionData) -> PyTree:
    """All users in one batch [1, ...]; their scores exist a block at a time only."""
    batch = {
        "features": data.features,
        "categories": data.categories,
        "known": dict(known_rows(data).arrays),
        "held": data.validation,
    }
    return jax.tree.map(lambda a: jnp.asarray(a)[None], batch)


def scores_of_new_users(settings: VisualConfig, data: FashionData, state: RecommenderState) -> Scores:
    """For users that training never saw: their vectors are fitted, the items of a state of one seed held fixed."""
    items = visual.all_items(state.params, catalogue(data), settings, sizes(data))

    @jax.jit
    def of_padded(history: Int[Array, "n width"]) -> Array:
        return visual.fold_in(items, history, settings) @ items.vectors.T + items.biases[None]

    def scores(histories: Sequence[Sequence[int]]) -> np.ndarray:
        padded = np.full((len(histories), max([1, *map(len, histories)])), data.items, np.int32)
        for row, history in zip(padded, histories, strict=True):
            row[: len(history)] = history
        return np.asarray(of_padded(padded))

    return scores
