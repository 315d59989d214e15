"""Training batches and validation of the visual recommenders."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from experiments.recommendation.fashion_measures import auc_of_users, known_rows, sizes
from jaxmodels.visual_recommenders import Catalogue
from train.data import interactions
from train.data.fashion import FashionData
from train.feed import DeviceFeed
from train.metrics.auc import Ties, per_user
from train.steps import visual_recommenders as visual
from train.steps.uniform_negatives import Records, records
from train.steps.visual_recommenders import Batch, RecommenderState, VisualConfig
from train.task import Task


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


def task(settings: VisualConfig, data: FashionData, ties: Ties) -> Task:
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
