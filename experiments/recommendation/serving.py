"""What a run on users x items left: the catalogue of its items, its models from the checkpoints, and serving them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.recommendation.data import Data
from experiments.recommendation.measures import Setting
from experiments.recommendation.training import (
    RunConfig,
    System,
    Trained,
    best_on_validation,
    items_width,
    read_curve,
    stages,
    task,
)
from experiments.runs import seed_index
from experiments.stored_models import Names, Stored
from train import item_shards, seeds
from train.data.interactions import size
from train.errors import UserError
from train.host_state import json_crc32
from train.json_records import read_record
from train.run_directory import RunDirectory, write_json
from train.stored_state import Which, load_state

CATALOGUE = "catalogue.json"
CHECKSUM = "crc32"
MOST_DEVICES = 2**16
"""Over which items may have been divided, each device having at most one column that is none."""


class Recommender(NamedTuple):
    """A trained model that serves.

    Attributes:
      item_ids: of every column of the scores.
      scores: [n, items] for n histories of item numbers, oldest first.
      name: of the model, among those of its run.
      models: all of them.
    """

    item_ids: Sequence[str]
    scores: Callable[[Sequence[Sequence[int]]], np.ndarray]
    name: str
    models: Sequence[str]


def one_of(models: Sequence[str], wanted: str, chosen: Callable[[], str]) -> str:
    """The model that serves: the one that is wanted, or else the chosen one.

    Raises:
      UserError: the run has no such model.
    """
    if not wanted:
        return chosen()
    if wanted not in models:
        raise UserError("--model", wanted, "is none of this run", f"choose {', '.join(models)}")
    return wanted


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


def write_catalogue(run: RunDirectory, data: Data, mesh: Mesh) -> None:
    """Keeps it in the run."""
    if jax.process_index() == 0:
        content = {
            "items": list(data.item_ids),
            "users": size(data.split.train)[0],
            "width": items_width(len(data.item_ids), mesh),
        }
        keep_catalogue(run, content)


def keep_catalogue(run: RunDirectory, content: Mapping[str, Any]) -> None:
    """Writes it with its checksum: with other items, or the same in another order, a model would say nonsense."""
    write_json(run.path / CATALOGUE, {**content, CHECKSUM: json_crc32(content)})


def read_catalogue(run: RunDirectory) -> Catalogue:
    """The inverse.

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


def load(
    config: RunConfig,
    system: System,
    catalogue: Catalogue,
    setting: Setting,
    run: RunDirectory,
    which: Which,
) -> Trained:
    """What `train` left, from the checkpoints; `which` is for strong generalisation alone.

    Raises:
      UserError: there is none.
    """
    choosing, final = (run.in_stage(stage) for stage in stages(system, setting))
    state = load_state(
        task(system, setting.criterion, len(catalogue.item_ids), catalogue.width),
        seeds.seed_keys(config.seed, config.seeds),
        config.train,
        final,
        which if setting.protocol == "strong" else "last",
    )
    return Trained(system, state, read_curve(choosing, setting.criterion), catalogue.width)


def stored(
    config: RunConfig,
    system: System,
    catalogue: Catalogue,
    setting: Setting,
    run: RunDirectory,
    names: Names,
) -> Stored:
    """A system of a run whose settings have it alone; without the columns that pad the items."""
    items, width = len(catalogue.item_ids), catalogue.width

    def export(state: Any) -> dict[str, np.ndarray]:
        return names.export(state.replace(params=item_shards.cut_items(state.params, width, items)))

    def insert(state: Any, arrays: Mapping[str, np.ndarray]) -> Any:
        cut = state.replace(params=item_shards.cut_items(state.params, width, items))
        params = names.insert(cut, arrays).params
        return state.replace(params=item_shards.pad_items(params, items, width))

    serves: Which = "best" if setting.protocol == "strong" else "last"
    stage = run.in_stage(stages(system, setting)[1])
    what = task(system, setting.criterion, items, width)
    return Stored(stage, config, config.train, what, serves, Names(export, insert), (CATALOGUE,))


def best_recommender(
    run: RunDirectory,
    config: RunConfig,
    known: Sequence[System],
    catalogue: Catalogue,
    setting: Setting,
    which: Which,
    seed: int | None,
    model: str = "",
) -> Recommender:
    """A system of the run to serve: the wanted one, or the best on validation data; a seed, or the first.

    Raises:
      UserError: none was evaluated, there is no checkpoint, or the run has no such seed or model.
    """
    stages_ = {system.stage: system for system in known}
    stage = one_of(list(stages_), model, lambda: best_on_validation(known, setting, run).stage)
    trained = load(config, stages_[stage], catalogue, setting, run, which)
    return recommender(trained, catalogue, seed_index(seed, config.seed, config.seeds), list(stages_))


def recommender(trained: Trained, catalogue: Catalogue, index: int, models: Sequence[str]) -> Recommender:
    """One seed of a trained system, one of the run's models, for users that training never saw."""
    params, items = seeds.unstack(trained.state.params, index), len(catalogue.item_ids)
    score = jax.jit(trained.system.scores)

    def scores(histories: Sequence[Sequence[int]]) -> np.ndarray:
        x = np.zeros((len(histories), trained.width), np.float32)
        for row, history in zip(x, histories, strict=True):
            row[list(history)] = 1
        return np.asarray(score(params, x, np.full(len(x), -1, np.int32)))[:, :items]

    return Recommender(catalogue.item_ids, scores, trained.system.stage, models)
