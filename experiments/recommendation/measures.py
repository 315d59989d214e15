"""How good recommenders of users x items are, and what the simple baselines reach on the same users."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PyTree
from scipy.sparse import csr_array

from experiments import cli
from experiments.recommendation.data import Data, Protocol
from experiments.recommendation.report import Ranked
from train.bounds import AtLeast, Positive
from train.data.generalisation import Queries
from train.metrics.ranking import rank_metrics
from train.metrics.recommender_baselines import ease, item_knn, popularity

BUCKETS = ("head", "middle", "tail")
"""Items in the order of their training users, cut into three parts with as many interactions each."""
BUCKET_RANKS = 50


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measures, and what the baselines may choose from on validation data."""

    ease: tuple[Annotated[float, Positive()], ...] = (50.0, 100.0, 200.0, 300.0, 500.0, 1000.0)
    """Weights lambda of EASE (none: no EASE, whose memory is 8 bytes times the square of the number of items)."""
    neighbours: tuple[Annotated[int, AtLeast(1)], ...] = (20, 50, 100, 200, 400)
    """Neighbours of item-KNN (none: no item-KNN)."""
    ks: tuple[Annotated[int, AtLeast(1)], ...] = ()
    """Further lengths of the list to measure at, besides the experiment's own, as columns of the table."""
    batch_size: Annotated[int, AtLeast(1)] = 500
    """Users that are ranked at a time."""


@dataclass(frozen=True)
class Setting:
    """How an experiment splits and measures.

    Attributes:
      protocol: of the split.
      criterion: the metric that chooses, as `rank_metrics` calls it.
      metrics: the columns of the table.
      ks: ranks to measure at.
      further: what is measured at further ranks, without the @.
      notes: what a reader must know of it.
    """

    protocol: Protocol
    criterion: str
    metrics: tuple[str, ...]
    ks: tuple[int, ...]
    further: tuple[str, ...]
    notes: tuple[str, ...]

    def at(self, ks: Sequence[int]) -> "Setting":
        """Measuring at further ranks as well; those that are in the table already add nothing."""
        columns = [f"{metric}@{k}" for k in dict.fromkeys(ks) for metric in self.further]
        return replace(
            self,
            metrics=(*self.metrics, *(name for name in columns if name not in self.metrics)),
            ks=tuple(sorted({*self.ks, *ks})),
        )


def buckets(train: csr_array) -> Int[np.ndarray, " items"]:
    """Of each item the number of its popularity bucket (see BUCKETS)."""
    counts = popularity(train)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    bucket = np.empty(len(counts), np.int32)
    bucket[order] = np.minimum(before * len(BUCKETS) / max(1, counts.sum()), len(BUCKETS) - 1).astype(
        np.int32
    )
    return bucket


def measure(
    scores: Callable[[slice], Array | np.ndarray],
    queries: Queries,
    setting: Setting,
    bucket: Int[np.ndarray, " items"],
    size: int,
) -> dict[str, Float[np.ndarray, " users"]]:
    """Every metric of every user, a batch at a time.

    Args:
      scores: of the users of a slice of the queries, which may be shorter than `size`, [n, items].
      queries: who, and what is to be found.
      setting: ranks to measure at.
      bucket: of each item; for the recall by popularity.
      size: users at a time.
    """
    found = []
    for start in range(0, len(queries.user), size):
        part = slice(start, min(start + size, len(queries.user)))
        given, held = queries.given[part].toarray(), queries.held[part].toarray()
        batch = [np.asarray(rows, np.float32) for rows in (scores(part), given, held)]
        short = min(size, len(queries.user)) - len(given)
        batch = [np.pad(rows, ((0, short), (0, 0))) for rows in batch]
        measured = jax.device_get(_measure(*batch, bucket, setting.ks))
        found.append({name: values[: len(given)] for name, values in measured.items()})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


@partial(jax.jit, static_argnums=4)
def _measure(
    scores: Float[Array, "B I"],
    given: Float[Array, "B I"],
    held: Float[Array, "B I"],
    bucket: Int[Array, " I"],
    ks: tuple[int, ...],
) -> dict[str, Float[Array, " B"]]:
    out = rank_metrics(scores, given, held, ks)
    for number, name in enumerate(BUCKETS):
        part = rank_metrics(scores, given, held * (bucket == number)[None], (BUCKET_RANKS,))
        out[bucket_metric(name)] = part[f"recall_of_all@{BUCKET_RANKS}"]
    return out


def bucket_metric(name: str) -> str:
    """What the recall of a popularity bucket is called."""
    return f"recall@{BUCKET_RANKS}, {name} items"


def on_test_users(
    name: str,
    scores: Callable[[PyTree, Array, Array], Array],
    params: Sequence[PyTree],
    data: Data,
    setting: Setting,
    size: int,
    width: int,
    note: str = "",
) -> Ranked:
    """The metrics of a model on test users, by seed and user.

    Args:
      name: of the model.
      scores: (params, x [n, items], user [n]) -> [n, items or more].
      params: of each seed.
      data: whose test users.
      setting: ranks to measure at.
      size: users at a time.
      width: columns of the model, at least the items.
      note: for the table.
    """
    queries, bucket, score = data.split.test, buckets(data.tested_on), jax.jit(scores)

    def of(params: PyTree) -> Callable[[slice], Array]:
        def scores_of(part: slice) -> Array:
            x, user = queries.given[part].toarray(), queries.user[part]
            short = min(size, len(queries.user)) - len(x)
            wide = np.pad(x, ((0, short), (0, width - len(bucket))))
            return score(params, wide, np.pad(user, (0, short)))[: len(x), : len(bucket)]

        return scores_of

    by_seed = [measure(of(one), queries, setting, bucket, size) for one in params]
    return Ranked(name, {metric: np.stack([one[metric] for one in by_seed]) for metric in by_seed[0]}, note)


def note_of(what: str, setting: Setting, validation: float) -> str:
    """For the table: what was chosen, and what it reached on validation data, if it was validated (no NaN)."""
    if math.isnan(validation):
        return what
    said = f"validation {setting.criterion} {validation:.4f}"
    return f"{what}; {said}" if what else said


class Baseline(NamedTuple):
    """A linear baseline: fitted with one of several values of a setting, its scores are rows times a matrix."""

    name: str
    setting: str
    values: tuple[float, ...]
    fit: Callable[[csr_array, Any], np.ndarray]


BASELINES = (
    Baseline("item-KNN", "k", (), item_knn),
    Baseline("EASE", "lambda", (), ease),
)


def baselines(data: Data, setting: Setting, config: EvaluateConfig) -> list[Ranked]:
    """Popularity, item-KNN and EASE on test users, their settings chosen on validation data."""
    values = {"item-KNN": config.neighbours, "EASE": config.ease}
    out = [_popularity(data, setting, config.batch_size)]
    for baseline in BASELINES:
        if values[baseline.name]:
            cli.say(
                f"  {baseline.name}: {baseline.setting} of {', '.join(f'{v:g}' for v in values[baseline.name])}"
            )
            out.append(
                _tuned(baseline._replace(values=values[baseline.name]), data, setting, config.batch_size)
            )
    return out


def _popularity(data: Data, setting: Setting, size: int) -> Ranked:
    counts, queries = popularity(data.tested_on), data.split.test
    everyone = measure(
        lambda part: np.broadcast_to(counts, (part.stop - part.start, len(counts))),
        queries,
        setting,
        buckets(data.tested_on),
        size,
    )
    return Ranked("popularity", {name: values[None] for name, values in everyone.items()}, baseline=True)


def _tuned(baseline: Baseline, data: Data, setting: Setting, size: int) -> Ranked:
    split, bucket = data.split, buckets(data.tested_on)

    def ranked(matrix: np.ndarray, queries: Queries) -> dict[str, np.ndarray]:
        return measure(lambda part: queries.given[part] @ matrix, queries, setting, bucket, size)

    best = (-1.0, baseline.values[0])
    for value in baseline.values:
        found = ranked(baseline.fit(split.train, value), split.validation)
        best = max(best, (float(np.nanmean(found[setting.criterion])), value))
    metrics = ranked(baseline.fit(data.tested_on, best[1]), split.test)
    note = note_of(f"{baseline.setting} {best[1]:g}", setting, best[0])
    return Ranked(baseline.name, {name: values[None] for name, values in metrics.items()}, note, True)
