"""AUC of a comparison of visual recommenders: what validation records choose, then the test records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from experiments import cli
from experiments.recommendation.choice import Evidence, announce
from jaxmodels.visual_recommenders import Catalogue
from train import seeds
from train.data.fashion import FashionData
from train.data.interactions import UserRows
from train.metrics.auc import Ties, in_blocks, per_user
from train.metrics.recommender_baselines import popularity
from train.steps import visual_recommenders as visual
from train.steps.visual_recommenders import RecommenderState, Sizes, VisualConfig

NAMES = {"bpr-mf": "BPR-MF", "vbpr": "VBPR", "deepstyle": "DeepStyle"}


class TrainedStage(NamedTuple):
    """A model and its stacked states, one per seed."""

    settings: VisualConfig
    state: RecommenderState


@dataclass(frozen=True)
class AucComparison:
    """Of every stage the AUC of validation records, and of each model's chosen stage that of test records.

    Attributes:
      trained: by stage.
      validation: by stage, the mean over users of each seed.
      chosen: by kind of model, the stage with the best mean.
      test: by kind, the AUC of each held-out item.
      baselines: the same of models that need no training, with one seed.
    """

    trained: Mapping[str, TrainedStage]
    validation: Mapping[str, Float[np.ndarray, " seeds"]]
    chosen: Mapping[str, str]
    test: Mapping[str, Float[np.ndarray, "seeds users k"]]
    baselines: Mapping[str, Float[np.ndarray, "1 users k"]]

    def best(self) -> str:
        """The stage of the best model on validation records."""
        return max(self.chosen.values(), key=lambda stage: self.validation[stage].mean())


def sizes(data: FashionData) -> Sizes:
    """Of the tables of parameters."""
    return Sizes(data.users, data.items, data.features.shape[1], len(data.category_names))


def evidence(data: FashionData) -> Evidence:
    """The validation records, by which penalties and updates are chosen, and their users."""
    held = (data.validation >= 0) & (data.validation < data.items)
    return Evidence(int(held.any(axis=1).sum()), "user", int(held.sum()))


def known_rows(data: FashionData) -> UserRows:
    """All records of every user, which are never negatives of theirs."""
    return UserRows(data.known())


def auc_of_users(
    score: Callable[[Int[Array, " b"]], Float[Array, "b items"]],
    rows: UserRows,
    known: Mapping[str, Array],
    held: Int[Array, "users k"],
    ties: Ties,
) -> Float[Array, "users k"]:
    """The AUC of every held-out item, users in blocks; `known` are the arrays of `rows`, on the device."""

    def block(user: Int[Array, " b"]) -> tuple[Array, Array]:
        return score(user), rows.take(known, user)["x"] > 0

    return in_blocks(block, held, ties)


def measure(
    data: FashionData, catalogue: Catalogue, trained: Mapping[str, TrainedStage], ties: Ties
) -> AucComparison:
    """Test records are looked at after the choice alone, and of chosen models only."""
    rows = known_rows(data)
    known = {name: jnp.asarray(a) for name, a in rows.arrays.items()}
    validation_items, test_items = jnp.asarray(data.validation), jnp.asarray(data.test)

    def of_model(stage: str, held: Int[Array, "users k"]) -> Float[np.ndarray, "seeds users k"]:
        settings, state = trained[stage]

        def one(params: Any, held: Array, known: Mapping[str, Array], catalogue: Catalogue) -> Array:
            score = partial(visual.scores, params, catalogue=catalogue, config=settings, sizes=sizes(data))
            return auc_of_users(score, rows, known, held, ties)

        count = len(state.step)
        stacked = jax.jit(seeds.over_seeds(one, (0, None, None, None), count))
        return np.asarray(stacked(state.params, held, known, catalogue))

    announce("the penalty of each model is chosen", evidence(data))
    validation = {
        stage: np.nanmean(per_user(jnp.asarray(of_model(stage, validation_items))), axis=1)
        for stage in trained
    }
    chosen = {}
    for kind in dict.fromkeys(one.settings.kind for one in trained.values()):
        own = [stage for stage, one in trained.items() if one.settings.kind == kind]
        chosen[kind] = max(own, key=lambda stage: validation[stage].mean())
        cli.say(f"  {NAMES[kind]}: {chosen[kind]}, validation AUC {validation[chosen[kind]].mean():.4f}")
    test = {kind: of_model(stage, test_items) for kind, stage in chosen.items()}
    simple = {}
    for name, score in baselines(data).items():
        fn = jax.jit(lambda held, known, score=score: auc_of_users(score, rows, known, held, ties))
        simple[name] = np.asarray(fn(test_items, known))[None]
    return AucComparison(trained, validation, chosen, test, simple)


def baselines(data: FashionData) -> dict[str, Callable[[Int[Array, " b"]], Float[Array, "b items"]]]:
    """Popularity; and popularity among items of the categories that a user has records of, as often as those.

    The second scores (1 + n_i) times the user's records in the item's categories plus a hundredth of one.
    """
    clicks = popularity(data.train).astype(np.float32)
    kinds = len(data.category_names)
    belongs = (data.categories[:, :, None] == np.arange(kinds)).any(axis=1).astype(np.float32)
    counts = (data.train @ belongs).astype(np.float32)

    def popular(user: Int[Array, " b"]) -> Float[Array, "b items"]:
        return jnp.broadcast_to(jnp.asarray(clicks), (len(user), data.items))

    def popular_in_category(user: Int[Array, " b"]) -> Float[Array, "b items"]:
        demand = jnp.asarray(counts)[user] @ jnp.asarray(belongs).T
        return (demand + 0.01) * (1 + jnp.asarray(clicks))[None]

    return {"popularity": popular, "popularity in the user's categories": popular_in_category}
