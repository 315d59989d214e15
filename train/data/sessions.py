"""Logs of sessions: reading, filtering, splitting by time, and numbering items, as GRU4Rec's preprocessing does.

Hidasi et al., ICLR 2016, and the official preprocessing of RSC15. A log has one row per event; everything that is
dropped or mended on the way is counted.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from train.data import ratings
from train.data.table_files import TableFile, header_of
from train.data.text_tables import Columns, Header, check_columns, looks_like_data
from train.data.time_fields import to_seconds
from train.errors import UserError

_LOG = logging.getLogger(__name__)
DAY = 86_400.0
Counts = Mapping[str, int]
"""What was read, dropped and mended, in words."""
Layout = Literal["named", "yoochoose", "diginetica"]
"""A header with the named columns; or the logs as they were published: Yoochoose's clicks (no header; session, time as
ISO 8601, item, category) and Diginetica's views (semicolons; a date, with hyphens or without, beside the milliseconds
of its day)."""
_COLUMNS_REMEDY = "name the column of {what}s by --data.{what}-column, or give --data.layout"
_HEADER_REMEDY = (
    "write the names of the columns as its first line, or give --data.layout yoochoose if it is that log"
)


class SessionLog(NamedTuple):
    """Events, a row each.

    Attributes:
      session: identifiers of any one type that can be sorted.
      item: identifiers, as those of sessions.
      time: in seconds.
    """

    session: np.ndarray
    item: np.ndarray
    time: Float[np.ndarray, " events"]

    def rows(self, which: np.ndarray) -> "SessionLog":
        """The events that a mask or an index array names."""
        return SessionLog(*(column[which] for column in self))


@dataclass(frozen=True)
class Sessions:
    """Sessions of numbered items, one after another.

    Attributes:
      items: int32 number of the item of each event.
      starts: where each session begins, and the end of the last one.
      time: of each event, in seconds; never falls inside a session.
    """

    items: Int[np.ndarray, " events"]
    starts: Int[np.ndarray, " sessions_and_1"]
    time: Float[np.ndarray, " events"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int[np.ndarray, " sessions"]:
        """Events of each session."""
        return np.diff(self.starts)

    @property
    def positions(self) -> Int[np.ndarray, " events"]:
        """How many events of its session came before each event."""
        return np.arange(len(self.items)) - np.repeat(self.starts[:-1], self.lengths)


class SessionData(NamedTuple):
    """A training and a test part over one numbering of items.

    Attributes:
      item_ids: the identifiers, by number: in order of first appearance in the training part.
      train: at least two events each.
      test: at least two events each, of training items alone.
      unseen: test events dropped because their item is not in the training part.
      short: test events dropped because no other one of their session was left.
    """

    item_ids: np.ndarray
    train: Sessions
    test: Sessions
    unseen: int
    short: int

    @property
    def support(self) -> Int[np.ndarray, " items"]:
        """Training events of each item."""
        return np.bincount(self.train.items, minlength=len(self.item_ids))


def read_log(
    source: Literal["csv", "parquet", "npz"],
    path: str | Path,
    columns: Columns,
    array: str = "",
    layout: Layout = "named",
    field: str = "--data.path",
) -> tuple[SessionLog, Counts]:
    """A log from a file, and what was read, left out and converted.

    Args:
      source: text; a Parquet file; or an npz.
      path: the file.
      columns: the names of the columns of sessions (as users), items and times; csv and parquet alone.
      array: the array of an npz: integer rows of session, item, anything, time.
      layout: of text; see `Layout`.
      field: what the user named the file by, for errors.

    Raises:
      UserError: the file can't be read, lacks a column, or has something impossible in one.
    """
    match source:
        case "csv":
            events = _read_table(Path(path).expanduser(), columns, layout, field)
        case "parquet":
            events = ratings.read_parquet(path, columns, users="session")
        case "npz":
            events = ratings.read_npz(path, array)
    if events.time is None:
        problem = f"{array!r} has rows without a time"
        raise UserError(field, path, problem, "save rows of session, item, anything, time")
    try:
        time, unit = to_seconds(events.time)
    except ValueError as error:
        remedy = "give seconds or milliseconds since 1970, or times such as 2014-04-07T10:51:09Z"
        raise UserError(field, path, f"its times {error}", remedy) from error
    if unit != "seconds":
        _LOG.warning("%s %s: its times are in %s, converted to seconds", field, path, unit)
    log = SessionLog(events.user, _values(events.item_ids)[events.item], time)
    counts = {
        "events read": events.counts.read,
        "events without session or item, left out": events.counts.without_id,
    }
    return log, counts if unit == "seconds" else {**counts, f"times in {unit}, converted": len(time)}


def _read_table(path: Path, columns: Columns, layout: Layout, field: str) -> ratings.Events:
    """A table of text, in any of the layouts."""
    file = TableFile(path, field, "session", _COLUMNS_REMEDY, _HEADER_REMEDY)
    if layout == "named":
        if not columns.time:
            raise UserError("--data.time-column", "''", "sessions are split by time", "name its column")
        return ratings.read_csv(file, columns)
    names, separator, lines = header_of(file)
    if layout == "yoochoose":
        _check_no_header(file, names)
        names = ("session", "time", "item", "category")
        return ratings.read_csv(file, Columns("session", "item", "", "time"), Header(names, ","))
    found = {name.lower().replace("_", ""): name for name in names}
    published = Columns("session_id", "item_id", "", "timeframe", "eventdate")
    wanted = Columns(*(found.get(name.replace("_", ""), name) for name in published))
    check_columns(file._replace(columns="leave out --data.layout"), wanted, names)
    return ratings.read_csv(file, wanted, Header(names, separator, lines))


def _check_no_header(file: TableFile, first: Sequence[str]) -> None:
    """Raises UserError where the first line has names, which the published log has not."""
    if not looks_like_data(first):
        problem = (
            f"its first line is a header ({', '.join(first)[:150]}), which --data.layout yoochoose has not"
        )
        remedy = "leave out --data.layout, and name its columns by --data.session-column and the like"
        raise file.error(problem, remedy)


def in_order(log: SessionLog) -> tuple[SessionLog, Counts]:
    """Events by session and, in it, by time; those of equal time stay as they were.

    Repetitions of an event, with the same session, item and time, are counted and kept, as published.
    """
    codes = np.unique(log.session, return_inverse=True)[1].reshape(-1)
    grouped = np.argsort(codes, kind="stable")
    late = (np.diff(log.time[grouped]) < 0) & (np.diff(codes[grouped]) == 0)
    order = np.lexsort((log.time, codes))
    ordered = log.rows(order)
    twice = (ordered.item[1:] == ordered.item[:-1]) & (np.diff(ordered.time) == 0)
    twice &= ordered.session[1:] == ordered.session[:-1]
    counts = {
        "events earlier than the one before in their session, sorted": int(late.sum()),
        "events repeated at the same second, kept": int(twice.sum()),
    }
    return ordered, counts


def filter_log(log: SessionLog, min_session: int = 2, min_item: int = 5) -> tuple[SessionLog, Counts]:
    """Drops short sessions, then rare items, then the sessions that this made short: once each, as published."""
    first = log.rows(_frequency(log.session) >= min_session)
    second = first.rows(_frequency(first.item) >= min_item)
    third = second.rows(_frequency(second.session) >= min_session)
    counts = {
        f"events of sessions of fewer than {min_session}, dropped": len(log.time) - len(first.time),
        f"events of items with fewer than {min_item}, dropped": len(first.time) - len(second.time),
        "events of sessions that this made too short, dropped": len(second.time) - len(third.time),
    }
    return third, counts


def without_repeats(log: SessionLog) -> tuple[SessionLog, Counts]:
    """Drops events of the item that came just before in the same session; the log is in order."""
    repeated = (log.session[1:] == log.session[:-1]) & (log.item[1:] == log.item[:-1])
    kept = log.rows(np.r_[True, ~repeated])
    return kept, {"events of the item just before, dropped": int(repeated.sum())}


def split_by_time(log: SessionLog, seconds: float = DAY) -> tuple[SessionLog, SessionLog]:
    """(training part, test part): the test has the sessions whose last event is in the last `seconds` of the log."""
    codes = np.unique(log.session, return_inverse=True)[1].reshape(-1)
    last = np.full(codes.max(initial=-1) + 1, -np.inf)
    np.maximum.at(last, codes, log.time)
    test = last[codes] >= log.time.max(initial=-np.inf) - seconds
    return log.rows(~test), log.rows(test)


def number_items(train: SessionLog, test: SessionLog) -> SessionData:
    """Numbers items by first appearance in the training part, and drops from the test part what can't be predicted.

    Both logs are in order. Test events of other items are dropped, then sessions of a single event. Identifiers that
    are whole numbers in one part and text in the other are compared as text.
    """
    kind = np.result_type(train.item, test.item)
    train, test = (log._replace(item=log.item.astype(kind)) for log in (train, test))
    ids, first, codes = np.unique(train.item, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(ids), np.int32)
    number[order] = np.arange(len(ids), dtype=np.int32)
    known = test.rows(np.isin(test.item, ids))
    kept = known.rows(_frequency(known.session) >= 2)
    return SessionData(
        item_ids=ids[order],
        train=_grouped(train, number[codes.reshape(-1)]),
        test=_grouped(kept, number[np.searchsorted(ids, kept.item)]),
        unseen=len(test.time) - len(known.time),
        short=len(known.time) - len(kept.time),
    )


def _grouped(log: SessionLog, numbers: Int[np.ndarray, " events"]) -> Sessions:
    """Sessions of a log in order."""
    borders = np.flatnonzero(log.session[1:] != log.session[:-1]) + 1
    starts = np.r_[0, borders, len(numbers)] if len(numbers) else np.zeros(1, np.int64)
    return Sessions(numbers.astype(np.int32), starts, log.time)


def _frequency(identifiers: np.ndarray) -> Int[np.ndarray, " events"]:
    """Of each event's identifier."""
    _, codes, counts = np.unique(identifiers, return_inverse=True, return_counts=True)
    return counts[codes.reshape(-1)]


def _values(names: Sequence[str]) -> np.ndarray:
    """Identifiers as whole numbers, where they are such, and as text otherwise."""
    try:
        numbers = np.asarray([int(name) for name in names])
    except (ValueError, OverflowError):
        return np.asarray(names)
    as_they_were = numbers.dtype.kind == "i" and list(map(str, numbers.tolist())) == list(names)
    return numbers if as_they_were else np.asarray(names)
