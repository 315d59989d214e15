"""The data of the experiments on users x items: events from a source, split by a protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from experiments.run_report import of_file
from train.bounds import AtLeast
from train.data import ratings
from train.data.generalisation import Split, read_split, strong, weak
from train.data.ratings import Columns, Events
from train.data.simulated_users import PopulationName, simulated_users
from train.errors import UserError

Protocol = Literal["strong", "weak"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data to train and test on."""

    source: Literal["simulated", "movielens", "csv", "parquet", "npz", "tfds", "split"] = "simulated"
    """Simulated users; MovieLens' ratings.csv, ratings.dat or u.data; a table with named columns; an npz of rows; a
    prepared TFDS data set; an npz with a split made before, perhaps with a validation part of its own."""
    path: Path | None = None
    """The file, or the folder of MovieLens' file or of TFDS."""
    user_column: str = "user"
    """csv, parquet: the column of users."""
    item_column: str = "item"
    """csv, parquet: the column of items."""
    rating_column: str = ""
    """csv, parquet: the column of ratings (empty: every event counts)."""
    time_column: str = ""
    """csv, parquet: the column of times, any numbers (empty: the order of the file)."""
    array: str = "triples"
    """npz: the array of rows (user, item[, rating[, time]])."""
    tfds_name: str = "movielens/1m-ratings"
    """tfds: the data set and its configuration."""
    min_rating: float = 4.0
    """Ratings of at least this are positive; the others are left out."""
    min_user_items: Annotated[int, AtLeast(2)] = 5
    """Users with fewer positive items are left out (CDAE's protocol: items with fewer users too, repeatedly)."""
    held_out_users: Annotated[int, AtLeast(0)] = 0
    """Strong generalisation: users for validation, and as many for testing (0: a tenth of all)."""
    users: Annotated[int, AtLeast(50)] = 3000
    """simulated: number of users."""
    items: Annotated[int, AtLeast(20)] = 1000
    """simulated: number of items."""
    population: PopulationName = "broad"
    """simulated: users of broad tastes, or of narrow ones, about whom popularity says little."""


class Data(NamedTuple):
    """A split with the names of its items, and what was read and left out."""

    split: Split
    item_ids: Sequence[str]
    name: str
    counts: list[tuple[str, int]]

    @property
    def tested_on(self) -> csr_array:
        """What the tested models learned from."""
        return self.split.train if self.split.final is None else self.split.final


def open_data(config: DataConfig, protocol: Protocol) -> Data:
    """The events, split.

    Raises:
      UserError: they can't be read, or not split.
    """
    if config.source == "split":
        split, ids = read_split(_path(config), protocol)
        return Data(
            split,
            ids,
            _path(config).stem,
            [("training pairs read", (split.final if split.final is not None else split.train).nnz)],
        )
    events = ratings.positives(read_events(config), config.min_rating)
    if protocol == "strong":
        users = int((np.bincount(events.user) >= config.min_user_items).sum())
        held_out = config.held_out_users or max(1, users // 10)
        split = strong(events.user, events.item, held_out, least=config.min_user_items)
    else:
        split = weak(events.user, events.item, least=config.min_user_items)
    ids = [events.item_ids[int(i)] for i in split.items]
    return Data(split, ids, events.name, [*events.counts.lines(), *_left_out(split)])


def in_words(config: DataConfig) -> str:
    """What the data are, for titles."""
    match config.source:
        case "simulated":
            return "simulated users"
        case "tfds":
            return f"{config.tfds_name} of TFDS"
        case "movielens":
            return of_file("MovieLens ratings", config.path)
        case "split":
            return of_file("the split", config.path)
        case _:
            return of_file("events", config.path)


def read_events(config: DataConfig) -> Events:
    """The events of a source.

    Raises:
      UserError: it can't be read.
    """
    columns = Columns(config.user_column, config.item_column, config.rating_column, config.time_column)
    match config.source:
        case "simulated":
            return simulated_users(config.users, config.items, population=config.population)
        case "tfds":
            return ratings.read_tfds(config.path, config.tfds_name)
        case "movielens":
            return ratings.read_movielens(_path(config))
        case "csv":
            return ratings.read_csv(_path(config), columns)
        case "parquet":
            return ratings.read_parquet(_path(config), columns)
        case "npz":
            return ratings.read_npz(_path(config), config.array)
    raise UserError("--data.source", config.source, "holds no events", "name another source")


def _path(config: DataConfig) -> Path:
    if config.path is None:
        raise UserError("--data.source", config.source, "reads a file", "name it by --data.path")
    return config.path


def _left_out(split: Split) -> list[tuple[str, int]]:
    return [(f"left out: {what}", count) for what, count in split.dropped.items()]


def check_data(config: DataConfig) -> None:
    """Raises UserError for settings that can't be read with."""
    if config.source == "simulated" and config.path is not None:
        problem = "simulated users read no file"
        raise UserError("--data.path", config.path, problem, "leave it out, or name --data.source")
