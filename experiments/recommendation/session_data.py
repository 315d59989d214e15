"""The data of `gru4rec_sessions`: a log of sessions, split by time, or a training and a test part made before."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from experiments.recommendation.choice import Evidence
from experiments.run_report import of_file
from train.bounds import AtLeast, Positive
from train.data.sessions import (
    DAY,
    Counts,
    Layout,
    SessionData,
    SessionLog,
    filter_log,
    in_order,
    number_items,
    read_log,
    split_by_time,
    without_repeats,
)
from train.data.simulated_sessions import simulated_sessions
from train.data.text_tables import Columns
from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data to train and test on."""

    source: Literal["simulated", "csv", "parquet", "npz"] = "simulated"
    """Simulated sessions; text with a header and commas, semicolons or tabs between fields; Parquet; an npz with rows
    of session, item, anything, time."""
    path: Path | None = None
    """The file."""
    session_column: str = "SessionId"
    """csv, parquet: the column of sessions."""
    item_column: str = "ItemId"
    """csv, parquet: the column of items."""
    time_column: str = "Time"
    """csv, parquet: the column of times: seconds, milliseconds or smaller since 1970, or ISO 8601."""
    layout: Layout = "named"
    """csv: `named` has a header with those columns; `yoochoose` (no header, ISO times) and `diginetica` (semicolons, a
    date beside the milliseconds of the day) are those logs as they were published."""
    array: str = "train_full"
    """npz: the array of rows."""
    test: str = ""
    """A test part made before: its file (csv, parquet) or array (npz). Nothing is filtered then. Empty: the test part
    is the sessions that end in the last days of the log."""
    test_days: Annotated[float, Positive()] = 1.0
    """How many days that is: 1 as published for RSC15; 7 is the protocol of Diginetica."""
    validation_days: Annotated[float, AtLeast(0)] = 0.0
    """The last days of the training part, on which the number of epochs is chosen (0: as many as for the test)."""
    min_session: Annotated[int, AtLeast(2)] = 2
    """Sessions with fewer events are dropped."""
    min_item: Annotated[int, AtLeast(1)] = 5
    """Items with fewer events are dropped."""
    drop_repeats: bool = False
    """Drop events of the same item as the one before (the Yoochoose variant)."""
    sessions: Annotated[int, AtLeast(50)] = 12_000
    """simulated: number of sessions."""
    items: Annotated[int, AtLeast(20)] = 1_000
    """simulated: number of items."""


class Log(NamedTuple):
    """A training and a test part in order, with what was dropped and mended so far."""

    train: SessionLog
    test: SessionLog
    counts: Counts
    name: str


def in_words(config: DataConfig) -> str:
    """What the data are, for titles."""
    return "simulated sessions" if config.source == "simulated" else of_file("sessions", config.path)


def open_log(config: DataConfig) -> Log:
    """The sessions, read, filtered and split.

    Raises:
      UserError: they can't be read, or too few are left.
    """
    log, counts = _read(config, config.array, config.path)
    name = config.source if config.path is None else Path(config.path).stem
    if config.test:
        test, more = _read(config, config.test, _test_path(config))
        counts = {**counts, **{f"test part: {what}": count for what, count in more.items()}}
        return _checked(Log(log, test, counts, name))
    log, filtered = filter_log(log, config.min_session, config.min_item)
    if not len(log.time):
        remedy = "give a longer log, or lower --data.min-item and --data.min-session"
        raise UserError("the log", name, "has no events left after the filters", remedy)
    if np.ptp(log.time) <= DAY * config.test_days:
        problem = f"its times span {np.ptp(log.time):,.0f} s, no more than the test part"
        remedy = (
            "give times in seconds of more than that, fewer --data.test-days, or a test part by --data.test"
        )
        raise UserError("--data.path", config.path, problem, remedy)
    train, test = split_by_time(log, DAY * config.test_days)
    return _checked(Log(train, test, {**counts, **filtered}, name))


def number_stage(train: SessionLog, test: SessionLog) -> SessionData:
    """Both parts over the training items.

    Raises:
      UserError: one of them has no session with something to predict.
    """
    data = number_items(train, test)
    for what, part in (("training", data.train), ("test", data.test)):
        if not len(part):
            remedy = "give a log of more days, fewer --data.test-days, or a test part by --data.test"
            raise UserError(f"the {what} part", "0 sessions", "none has two events or more", remedy)
    return data


def validation_days(config: DataConfig) -> float:
    """How long the validation part lasts."""
    return config.validation_days or config.test_days


def validation_part(log: Log, config: DataConfig) -> SessionData:
    """The training part without its last days, and those: the split of the whole log, once more.

    Raises:
      UserError: nothing is left to learn from, or nothing to predict.
    """
    days = validation_days(config)
    data = number_items(*split_by_time(log.train, DAY * days))
    if not len(data.train) or not len(data.test):
        what = "nothing to learn from before them" if not len(data.train) else "nothing to predict in them"
        flag = "--data.validation-days" if config.validation_days else "--data.test-days"
        remedy = "give others, or --evaluate.stopping fixed to choose nothing"
        raise UserError(flag, f"{days:g}", f"the last days of the training part leave {what}", remedy)
    return data


def evidence(data: SessionData) -> Evidence:
    """The sessions of a validation part and their predictions, by which the number of epochs is chosen."""
    return Evidence(len(data.test), "session", len(data.test.items) - len(data.test))


def _read(config: DataConfig, array: str, path: Path | None) -> tuple[SessionLog, dict[str, int]]:
    if config.source == "simulated":
        log, counts = simulated_sessions(config.sessions, config.items), {}
        counts = {"events simulated": len(log.time)}
    else:
        if path is None:
            raise UserError("--data.source", config.source, "reads a file", "name it by --data.path")
        columns = Columns(config.session_column, config.item_column, "", config.time_column)
        field = "--data.test" if config.source != "npz" and str(path) == config.test else "--data.path"
        log, counts = read_log(config.source, path, columns, array, config.layout, field)
    log, mended = in_order(log)
    counts = {**counts, **mended}
    if config.drop_repeats:
        log, dropped = without_repeats(log)
        counts |= dropped
    return log, counts


def _test_path(config: DataConfig) -> Path | None:
    return config.path if config.source in ("npz", "simulated") else Path(config.test)


def _checked(log: Log) -> Log:
    """Training sessions of one event have nothing to learn from."""
    train, dropped = filter_log(log.train, 2, 1)
    short = dropped["events of sessions of fewer than 2, dropped"]
    return log._replace(
        train=train, counts={**log.counts, "training events alone in their session, dropped": short}
    )


def check_data(config: DataConfig) -> None:
    """Raises UserError for settings that can't be read with."""
    if config.layout != "named" and config.source != "csv":
        problem = f"is for --data.source csv, not {config.source}"
        raise UserError("--data.layout", config.layout, problem, "leave it out")
    if config.test and config.test_days != DataConfig.test_days:
        problem, remedy = (
            "the test part was made before",
            "leave it out; --data.validation-days is another matter",
        )
        raise UserError("--data.test-days", config.test_days, problem, remedy)
    place = config.path and Path(config.path).expanduser().resolve()
    same_file = config.source != "npz" and config.test and place == Path(config.test).expanduser().resolve()
    if same_file or (config.source == "npz" and config.test == config.array):
        remedy = "name another, or leave it out: the last days of the log are the test part then"
        raise UserError("--data.test", config.test, "is the training part itself", remedy)
    if config.source == "simulated" and (config.path is not None or config.test):
        flag, given = (
            ("--data.path", config.path) if config.path is not None else ("--data.test", config.test)
        )
        raise UserError(flag, given, "simulated sessions read no file", "leave it out, or name --data.source")
