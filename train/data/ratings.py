"""Events of users and items from files: MovieLens in its three forms, tables with named columns, npz, TFDS.

What can't be an event is one `UserError`; what is left out is counted, and the report shows the counts.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from train import npz_files
from train.data.table_files import SHOWN, TableFile, header_of
from train.data.text_tables import (
    Columns,
    Header,
    Ids,
    RawEvents,
    bad_file,
    check_columns,
    first_line,
    numbered,
    read_text,
)
from train.errors import UserError
from train.regular_files import why_no_file

MOVIELENS_FILES = ("ratings.csv", "ratings.dat", "u.data")
MOVIELENS_NAMES = Columns("userId", "movieId", "rating", "timestamp")
"""Of the columns, whatever their case and with or without underscores."""
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")

LONGEST_NUMBER = 100
"""Digits up to which ids are put in the order of numbers."""


@dataclass(frozen=True)
class Counts:
    """What was read and what of it was left out; the last is sorted, not left out."""

    read: int = 0
    without_id: int = 0
    below_rating: int = 0
    duplicates: int = 0
    out_of_order: int = 0

    def lines(self) -> list[tuple[str, int]]:
        """(what, how many) for the report."""
        return [
            ("events read", self.read),
            ("left out: no user or no item", self.without_id),
            ("left out: rating below the threshold", self.below_rating),
            ("left out: later event of the same user and item", self.duplicates),
            ("earlier than the event before it of the same user, put in order", self.out_of_order),
        ]


@dataclass(frozen=True)
class Events:
    """Users' events.

    Attributes:
      user: of each event, a place in `user_ids`.
      item: of each event, a place in `item_ids`.
      rating: where the file has one.
      time: where the file has one.
      user_ids: as the file has them; whole numbers in their order, others in the order of text.
      item_ids: in the same order.
      name: of the data.
      counts: what was read and left out so far.
    """

    user: Int[np.ndarray, " n"]
    item: Int[np.ndarray, " n"]
    rating: Float[np.ndarray, " n"] | None
    time: Float[np.ndarray, " n"] | None
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    name: str
    counts: Counts


def positives(events: Events, min_rating: float) -> Events:
    """One event for every user and item that is liked, by user, in the order of time.

    Ratings below the threshold are left out, as are all but the first of several events with the same user and item.
    Events without time keep the order of the file; at the same time the item decides.

    Raises:
      UserError: nothing is left.
    """
    keep = np.ones(len(events.user), bool) if events.rating is None else events.rating >= min_rating
    below = int((~keep).sum())
    if not keep.any():
        top = 0 if events.rating is None or not len(keep) else events.rating.max()
        problem = f"of {len(keep):,} ratings the highest is {top:g}, and {min_rating:g} is asked for"
        raise UserError("ratings", events.name, problem, "give a lower --data.min-rating")
    user, item = events.user[keep], events.item[keep]
    time = np.zeros(len(user)) if events.time is None else events.time[keep]
    by_user = np.argsort(user, kind="stable")
    backwards = (np.diff(time[by_user]) < 0) & (np.diff(user[by_user]) == 0)
    order = by_user if events.time is None else np.lexsort((item, time, user))
    user, item, time = user[order], item[order], time[order]
    pair = user.astype(np.int64) * len(events.item_ids) + item
    first = np.zeros(len(pair), bool)
    first[np.unique(pair, return_index=True)[1]] = True
    counts = dataclasses.replace(
        events.counts,
        below_rating=below,
        duplicates=int((~first).sum()),
        out_of_order=int(backwards.sum()),
    )
    return dataclasses.replace(
        events,
        user=user[first],
        item=item[first],
        rating=None,
        time=None if events.time is None else time[first],
        counts=counts,
    )


def read_movielens(path: str | pathlib.Path) -> Events:
    """`ratings.csv` (with a header), `ratings.dat` (fields between ::) or `u.data` (between tabs), or their folder.

    The columns of a header are found by their names; others, and the times, may be missing.

    Raises:
      UserError: there is no such file, or a line is not in its format.
    """
    other = "read it with --data.source csv, --data.user-column and --data.item-column"
    file = TableFile(
        _movielens_file(pathlib.Path(path).expanduser()),
        columns=other,
        header="write userId,movieId,rating,timestamp as its first line",
    )
    events = _events(file.path, _read_ratings(file))
    for what, ids in (("user", events.user_ids), ("item", events.item_ids)):
        wrong = next((name for name in ids if not WHOLE_NUMBER.fullmatch(name)), None)
        if wrong is not None:
            problem = f"has the {what} {wrong[:SHOWN]!r}, which is not a whole number, as MovieLens ids are"
            raise file.error(problem, f"mend that line, or {other}")
    return events


def _read_ratings(file: TableFile) -> RawEvents:
    """MovieLens' columns by the names in the first line; by their order where it has none, but for commas."""
    names, separator, lines = header_of(file)
    found = {name.lower().replace("_", ""): name for name in names}
    if any(name in found for name in ("userid", "movieid")) or separator not in ("::", "\t"):
        columns = Columns(*(found.get(name.lower(), name) for name in MOVIELENS_NAMES))
        if columns.time not in names:
            columns = columns._replace(time="")
        check_columns(file, columns, names)
        return read_text(file, columns, Header(names, separator, lines))
    by_place = Columns("user", "item", "rating", "timestamp" if len(names) != 3 else "")
    return read_text(file, by_place, Header(tuple(by_place.named().values()), separator))


def read_csv(path: str | pathlib.Path | TableFile, columns: Columns, header: Header | None = None) -> Events:
    """A table with fields between commas, semicolons, tabs, bars or ::, and a header; ids are any text.

    Args:
      path: of the file, or the file with what the user calls it.
      columns: their names.
      header: how the table begins, where its first line has other names or none.

    Raises:
      UserError: it can't be read, lacks a named column, or a field is not a number where one is needed.
    """
    file = path if isinstance(path, TableFile) else TableFile(pathlib.Path(path).expanduser())
    return _events(file.path, read_text(file, columns, header), file.field)


def read_parquet(path: str | pathlib.Path, columns: Columns, users: str = "user") -> Events:
    """A Parquet file with named columns (extra `parquet`); `users` is what messages call the first.

    Raises:
      UserError: pyarrow is missing, the file can't be read, or it lacks a named column.
    """
    file = _existing(pathlib.Path(path).expanduser())
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as missing:
        remedy = "pip install '.[parquet]', or give a CSV file"
        raise UserError(
            "--data.source", "parquet", "needs pyarrow, which is not installed", remedy
        ) from missing
    try:
        known = pyarrow.parquet.read_schema(file).names
        check_columns(TableFile(file, users=users), columns, known)
        table = pyarrow.parquet.read_table(file, columns=list(columns.named().values()))
    except (pyarrow.ArrowException, OSError) as error:
        raise bad_file(
            file, f"is not a readable Parquet file ({first_line(error)})", "write it again"
        ) from error

    def ids(name: str) -> tuple[np.ndarray, list[str]]:
        try:
            encoded = table.column(name).combine_chunks().dictionary_encode()
        except pyarrow.ArrowException as error:
            problem = f"column {name!r} is {table.column(name).type}, which can't be an id"
            raise bad_file(file, problem, "write numbers or text, or name another column") from error
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = ["" if value is None else str(value) for value in encoded.dictionary.to_pylist()]
        return codes.astype(np.int32), names

    def numbers(name: str) -> np.ndarray | None:
        if not name:
            return None
        column = table.column(name)
        try:
            if pyarrow.types.is_temporal(column.type):
                since = column.cast(pyarrow.timestamp("us"), safe=False).cast(pyarrow.int64())
                return np.asarray(since.cast(pyarrow.float64(), safe=False).to_numpy(), np.float64) / 1e6
            return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy(), np.float64)
        except pyarrow.ArrowException as error:
            problem = f"column {name!r} is {table.column(name).type}, which is not a number"
            raise bad_file(file, problem, "write numbers, or name another column") from error

    raw = RawEvents(ids(columns.user), ids(columns.item), numbers(columns.rating), numbers(columns.time))
    return _events(file, raw)


def read_npz(path: str | pathlib.Path, array: str = "triples") -> Events:
    """An npz with an array of integer rows (user, item[, rating[, time]]).

    Raises:
      UserError: it can't be read, or has no such array.
    """
    file = _existing(pathlib.Path(path).expanduser())
    with npz_files.open_npz(file, "--data.path") as archive:
        if array not in archive:
            problem = f"has no array {array!r} (it holds {npz_files.listed(archive.names)})"
            raise bad_file(file, problem, "name it with --data.array")
        rows = archive.read(array)
    if rows.ndim != 2 or not 2 <= rows.shape[1] <= 4 or rows.dtype.kind not in "iu":
        problem = f"{array!r} is {rows.dtype}{list(rows.shape)}, not integers [n, 2 to 4]"
        raise bad_file(file, problem, "save rows of user, item, rating, time")
    user, item = (numbered(column) for column in rows.T[:2])
    rating, time = (rows[:, i].astype(np.float64) if rows.shape[1] > i else None for i in (2, 3))
    return _events(file, RawEvents(user, item, rating, time))


def read_tfds(path: str | pathlib.Path | None, name: str = "movielens/1m-ratings") -> Events:
    """A prepared TFDS `movielens` data set.

    Args:
      path: the data folder, or None for that of TFDS.
      name: of the data set and its configuration.

    Raises:
      UserError: it is not prepared, or not as array_record.
    """
    import tensorflow_datasets as tfds
    import tensorflow_datasets.structured.movielens  # without TensorFlow TFDS finds it only so

    folder = None if path is None else pathlib.Path(path).expanduser()
    try:
        source: Any = tfds.data_source(name, split="train", data_dir=folder, download=False)
    except Exception as error:  # TFDS raises a different class for each way in which a folder is not prepared
        raise UserError(
            "--data.tfds-name",
            name,
            f"is not prepared so that it can be read at random ({first_line(error)})",
            "prepare it with file_format='array_record' and the extra tfds-prepare, or use --data.source movielens",
        ) from error
    user, item, rating, time = Ids(), Ids(), [], []
    pairs = []
    for row in (source[i] for i in range(len(source))):
        pairs.append((user[row["user_id"].decode()], item[row["movie_id"].decode()]))
        rating.append(row["user_rating"])
        time.append(row["timestamp"])
    codes = np.asarray(pairs, np.int32).reshape(-1, 2)
    numbers = (np.asarray(values, np.float64) for values in (rating, time))
    return _events(
        pathlib.Path(name), RawEvents((codes[:, 0], list(user)), (codes[:, 1], list(item)), *numbers)
    )


def _events(file: pathlib.Path, raw: RawEvents, field: str = "--data.path") -> Events:
    """Ids in their order, rows without an id left out, numbers checked."""
    user, item, rating, time = raw
    for what, values in (("rating", rating), ("time", time)):
        if values is not None and not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
            problem = f"row {row} has a {what} that is not finite"
            raise UserError(field, file, problem, "mend or remove that row")
    (users, user_ids), (items, item_ids) = (_sorted_ids(*side) for side in (user, item))
    known = (users >= 0) & (items >= 0)
    if not known.any():
        remedy = "give a file with at least one row with a user and an item"
        raise UserError(field, file, "holds no event", remedy)
    return Events(
        user=users[known],
        item=items[known],
        rating=None if rating is None else rating[known],
        time=None if time is None else time[known],
        user_ids=user_ids,
        item_ids=item_ids,
        name=file.stem,
        counts=Counts(read=len(known), without_id=int((~known).sum())),
    )


def _sorted_ids(codes: Int[np.ndarray, " n"], names: list[str]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """The codes of sorted names, -1 for an empty name; whole numbers in the order of numbers."""
    names = [name.strip() for name in names]
    known = set(names) - {""}
    whole = all(WHOLE_NUMBER.fullmatch(name) and len(name) <= LONGEST_NUMBER for name in known)
    ordered = sorted(known, key=lambda name: (int(name) if whole else 0, name))
    place = {name: number for number, name in enumerate(ordered)}
    rank = np.asarray(
        [*(place.get(name, -1) for name in names), -1], np.int32
    )  # the last is that of the code -1
    return rank[codes], ordered


def _movielens_file(path: pathlib.Path) -> pathlib.Path:
    if path.is_dir():
        found = [path / name for name in MOVIELENS_FILES if (path / name).is_file()]
        if not found:
            raise bad_file(path, f"holds none of {', '.join(MOVIELENS_FILES)}", "name the file itself")
        return found[0]
    return _existing(path)


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.is_file():
        raise bad_file(path, why_no_file(path), "name the file itself")
    return path
