"""What a run of a recommender left: the catalogue of its items, and how its models serve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PyTree

from experiments.experiment import System
from experiments.recommendation.data import Data
from experiments.session import Session
from experiments.weight_names import Names
from train import devices, item_shards
from train.data.interactions import size
from train.host_state import json_crc32
from train.json_records import read_record
from train.run_directory import RunDirectory
from train.stored_state import Which

CATALOGUE = "catalogue.json"
CHECKSUM = "crc32"
MOST_DEVICES = 2**16
"""Over which items may have been divided, with at most one column of padding per device."""


Scores = Callable[[Sequence[Sequence[int]]], np.ndarray]
"""[n, items] for n histories of item numbers, oldest first."""
UserScores = Callable[[PyTree, Array, Array], Array]
"""(params, x [b, width], user [b]) -> [b, width]; a user of -1 is one that training never saw."""


class Recommender(NamedTuple):
    """A trained model that serves.

    Attributes:
      item_ids: of every column of the scores.
      scores: of histories.
      name: of the model, among those of its run.
      models: all of them.
    """

    item_ids: Sequence[str]
    scores: Scores
    name: str
    models: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RecommendingSystem(System[Any]):
    """A model of a run that `recommend` serves.

    Attributes:
      item_ids: of every column of the scores.
      recommender: state of one seed -> scores of histories.
      only: the one checkpoint that is for use, whichever is asked for; None where both are.
    """

    item_ids: Sequence[str]
    recommender: Callable[[Any], Scores]
    only: Which | None = None


class Catalogue(NamedTuple):
    """What a run has to remember of its data to serve.

    Attributes:
      item_ids: of every column.
      users: how many learned.
      width: columns of the models: the items, and more where they were divided over devices.
    """

    item_ids: list[str]
    users: int
    width: int

    @property
    def items(self) -> int:
        """How many."""
        return len(self.item_ids)


def catalogue_of(session: Session[Any], data: Data) -> Catalogue:
    """Of the data that are trained on, kept in the run; where a session replays, the one that the run kept.

    Raises:
      UserError: it isn't there, or was altered to something impossible.
    """
    if session.replays:
        return read_catalogue(session.run)
    items, parts = list(data.item_ids), dict(session.mesh.shape).get(devices.ITEMS, 1)
    found = Catalogue(items, size(data.split.train)[0], item_shards.padded(len(items), parts))
    session.keep(CATALOGUE, sealed({"items": items, "users": found.users, "width": found.width}))
    return found


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """With its checksum: with other items, or the same in another order, a model would say nonsense."""
    return {**content, CHECKSUM: json_crc32(content)}


def read_catalogue(run: RunDirectory) -> Catalogue:
    """What the run kept of its data.

    Raises:
      UserError: it isn't there, or was altered to something impossible.
    """
    remedy = "train it again, or copy that file again"
    record = read_record(run.path / CATALOGUE, "RUN_DIR", run.path, remedy)
    items = record.texts("items", least=1)
    width = (
        record.whole("width", len(items), len(items) + MOST_DEVICES) if "width" in record.content else None
    )
    users = record.whole("users", 1)
    content = {name: value for name, value in record.content.items() if name != CHECKSUM}
    if record.content.get(CHECKSUM, json_crc32(content)) != json_crc32(content):
        raise record.error("was altered since the run wrote it")
    return Catalogue(items, users, len(items) if width is None else width)


def without_padding(names: Names, catalogue: Catalogue) -> Names:
    """The names of weights, without the columns that pad the items."""
    items, width = catalogue.items, catalogue.width

    def export(state: Any) -> dict[str, np.ndarray]:
        return names.export(state.replace(params=item_shards.cut_items(state.params, width, items)))

    def insert(state: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        cut = state.replace(params=item_shards.cut_items(state.params, width, items))
        params = names.insert(cut, arrays).params
        return state.replace(params=item_shards.pad_items(params, items, width))

    return Names(export, insert)


def for_new_users(scores: UserScores, catalogue: Catalogue, state: Any) -> Scores:
    """The scores of users that training never saw, by the state of one seed."""
    score = jax.jit(scores)

    def of(histories: Sequence[Sequence[int]]) -> np.ndarray:
        x = np.zeros((len(histories), catalogue.width), np.float32)
        for row, history in zip(x, histories, strict=True):
            row[list(history)] = 1
        return np.asarray(score(state.params, x, np.full(len(x), -1, np.int32)))[:, : catalogue.items]

    return of
