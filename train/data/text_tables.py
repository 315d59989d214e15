"""Events from tables of text: all columns at once where ids are whole numbers, row by row otherwise."""

import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from train.data import table_files
from train.data.table_files import SHOWN, TableFile
from train.data.time_fields import (
    DATES,
    MILLISECONDS,
    TimeColumn,
    is_iso,
    milliseconds_beside_date,
    number,
    seconds_of_date,
)
from train.errors import UserError

ROWS_PER_BLOCK = 100_000
LONGEST_ID = 1000
WHOLE_NUMBER_FIELD = r'[ "]*(?:0|-?[1-9][0-9]{0,17})[ "]*'
"""An id that stays the same text when it is read as a number; 007, +7, 7.0 and 7e0 do not."""
Coded = tuple[Int[np.ndarray, " n"], list[str]]
"""The place of each event in a list of ids, or -1, and the ids."""


class Columns(NamedTuple):
    """The names of a table's columns; an empty name means that there is no such column.

    Where there is a date beside the time, the time is in milliseconds from an instant of that day.
    """

    user: str = "user"
    item: str = "item"
    rating: str = ""
    time: str = ""
    date: str = ""

    def named(self) -> dict[str, str]:
        """The name of each column that there is, by its role."""
        return {what: name for what, name in self._asdict().items() if name}


class Header(NamedTuple):
    """How a table begins.

    Attributes:
      names: of its columns.
      separator: of its fields.
      lines: how many to pass over.
    """

    names: tuple[str, ...]
    separator: str
    lines: int = 0


class RawEvents(NamedTuple):
    """A table's events; rating and time where they were asked for."""

    user: Coded
    item: Coded
    rating: Float[np.ndarray, " n"] | None
    time: Float[np.ndarray, " n"] | None


class Ids(dict[str, int]):
    """Numbers ids in the order of their first appearance.

    Raises:
      ValueError: a new one can't be an id: too long, or with a line break or another control character.
    """

    def __missing__(self, name: str) -> int:
        if len(name) > LONGEST_ID or not name.isprintable():
            _check_id(name)
        self[name] = len(self)
        return self[name]


def _check_id(name: str) -> None:
    if len(name) > LONGEST_ID:
        raise ValueError(f"an id of {len(name):,} characters")
    if "\n" in name:
        raise ValueError("an id with a line end, so a quote is left open there or before")
    if any(ord(character) < 32 and character != "\t" for character in name):
        raise ValueError(f"an id with a control character, {name[:SHOWN]!r}")


def read_text(file: TableFile, columns: Columns, header: Header | None = None) -> RawEvents:
    """A table of text; without `header` its first line has the names of the columns.

    Raises:
      UserError: it can't be read, lacks a named column, or a field is impossible.
    """
    if header is None:
        header = Header(*table_files.header_of(file))
        check_columns(file, columns, header.names)
    table = _Table(file, columns, header)
    return _read_whole_numbers(table) or _read_any_ids(table)


class _Table(NamedTuple):
    """A file, its columns, and how to read it."""

    file: TableFile
    columns: Columns
    header: Header

    def lines(self) -> Iterator[str]:
        """Without the header."""
        return itertools.islice(self.file.lines(), self.header.lines, None)

    def plain_lines(self) -> Iterator[str]:
        """Fields that two characters separate are separated by a tab instead."""
        if self.header.separator != "::":
            return self.lines()
        return (line.replace("::", "\t") for line in self.lines())

    def delimiter(self) -> str:
        """What separates the fields of `plain_lines`."""
        return "\t" if self.header.separator == "::" else self.header.separator

    def place(self) -> dict[str, int]:
        """The number of each named column, by its role."""
        return {what: self.header.names.index(name) for what, name in self.columns.named().items()}

    def whole_number_ids(self) -> re.Pattern[str]:
        """A line with all fields, and none too many, whose ids are whole numbers."""
        ids = self.columns.user, self.columns.item
        separator = re.escape(self.delimiter())
        fields = [WHOLE_NUMBER_FIELD if name in ids else rf"[^{separator}]*" for name in self.header.names]
        return re.compile(separator.join(fields) + r"\s*")


def _read_whole_numbers(table: _Table) -> RawEvents | None:
    """All columns at once, several times faster than row by row; None where an id would not stay the text it is."""
    if table.columns.date:
        return None
    place = table.place()
    lines, blocks, well_formed = table.plain_lines(), [], table.whole_number_ids().fullmatch
    while block := list(itertools.islice(lines, ROWS_PER_BLOCK)):
        # loadtxt passes over fields too many at the end of a line; such a table is read row by row, which says so.
        if not all(map(well_formed, block)):
            return None
        try:
            rows = np.loadtxt(
                block,
                delimiter=table.delimiter(),
                usecols=list(place.values()),
                ndmin=2,
                comments=None,
                quotechar='"',
            )
        except ValueError:
            return None
        if np.abs(rows[:, :2]).max() >= 2**53:
            return None
        blocks.append(rows)
    if not blocks:
        return None
    user, item, *numbers = np.concatenate(blocks).T
    known = dict(zip([what for what in place if what not in ("user", "item")], numbers, strict=True))
    users, items = (numbered(column.astype(np.int64)) for column in (user, item))
    return RawEvents(users, items, known.get("rating"), known.get("time"))


def _read_any_ids(table: _Table) -> RawEvents:
    """Row by row, with a message for the first row that is wrong."""
    file, header, place = table.file, table.header, table.place()
    ids = {"user": Ids(), "item": Ids()}
    dated = "date" in place
    numbers = {what: _Numbers(what, dated) for what in ("rating", "time", "date") if what in place}
    read: dict[str, list[np.ndarray]] = {what: [] for what in place}
    found = table_files.rows(file, table.lines(), header.separator, header.names, header.lines + 1)
    for lines, fields in _blocks(file, found, len(header.names)):
        for what, column in place.items():
            part = _Part(file, header.names[column], lines, fields[column])
            read[what].append(_codes(part, ids[what]) if what in ids else numbers[what].read(part))
    if not read["user"]:
        raise file.error("holds no event", "give a file with at least one row")
    whole = {what: np.concatenate(parts) for what, parts in read.items()}
    time = whole.get("time")
    if time is not None and "date" in whole:
        time = whole["date"] + time / 1000
    users, items = ((whole[what], list(ids[what])) for what in ("user", "item"))
    return RawEvents(users, items, whole.get("rating"), time)


def _blocks(
    file: TableFile, found: Iterator[table_files.Row], width: int
) -> Iterator[tuple[tuple[int, ...], list[tuple[str, ...]]]]:
    """(numbers of the lines, columns) of some rows at a time."""
    first = 1
    while block := list(itertools.islice(found, ROWS_PER_BLOCK)):
        wrong = next((i for i, row in enumerate(block) if len(row.fields) != width), None)
        if wrong is not None:
            line, fields = block[wrong]
            shown = repr(",".join(fields)[:SHOWN])
            problem = f"row {first + wrong} has {len(fields)} fields, not {width}: {shown} (line {line})"
            raise file.error(problem, "mend or remove that row")
        lines, fields = zip(*block, strict=True)
        yield lines, list(zip(*fields, strict=True))
        first += len(block)


class _Part(NamedTuple):
    """Some rows of one column."""

    file: TableFile
    column: str
    lines: Sequence[int]
    fields: Sequence[str]

    def where(self, row: int) -> str:
        """A row of the part, for errors."""
        return f"line {self.lines[row]} has in column {self.column[:SHOWN]!r}"


def _codes(part: _Part, ids: Ids) -> Int[np.ndarray, " n"]:
    try:
        return np.fromiter(map(ids.__getitem__, part.fields), np.int32, len(part.fields))
    except ValueError as error:
        row = next(i for i, name in enumerate(part.fields) if name not in ids)
        raise part.file.error(f"{part.where(row)} {error}", "mend or remove that row") from None


class _Numbers:
    """Reads a column of ratings, times or dates, part by part; `dated` where there is a date beside the time."""

    def __init__(self, what: str, dated: bool):
        self._what, self._times = what, TimeColumn()
        if dated:
            beside = TimeColumn(milliseconds_beside_date, MILLISECONDS)
            self._times = TimeColumn(seconds_of_date, DATES) if what == "date" else beside

    def read(self, part: _Part) -> Float[np.ndarray, " n"]:
        """The numbers of some rows.

        Raises:
          UserError: a field is not a number or a time.
        """
        try:
            if self._what == "rating":
                return np.fromiter(map(number, part.fields), np.float64, len(part.fields))
            return self._times.read(part.fields)
        except (ValueError, OverflowError):
            raise self._error(part) from None

    def _error(self, part: _Part) -> UserError:
        good = [_is_number(f) if self._what == "rating" else self._times.reads(f) for f in part.fields]
        row = good.index(False)
        wanted = "a number" if self._what == "rating" else self._times.forms
        problem = f"{part.where(row)} {part.fields[row][:SHOWN]!r}, which is not {wanted}"
        if any(good):
            if is_iso(part.fields[row]) and self._what != "rating":
                problem += ", as those before it are"
            return part.file.error(problem, "mend or remove that row")
        return part.file.error(problem + ", nor is any other", f"write {wanted}, or name another column")


def _is_number(field: str) -> bool:
    try:
        number(field)
    except ValueError:
        return False
    return True


def numbered(column: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Whole numbers as ids in their order."""
    values, codes = np.unique(column, return_inverse=True)
    return codes.astype(np.int32), [str(value) for value in values.tolist()]


def check_columns(file: TableFile, columns: Columns, header: Iterable[str]) -> None:
    """Raises UserError where a named column is missing or there twice, and where users or items have none."""
    names = list(header)
    for what in ("user", "item"):
        if not getattr(columns, what):
            flag = f"--data.{file.users if what == 'user' else what}-column"
            raise UserError(flag, "''", f"{file.users}s and items need a column each", "name both")
    roles: dict[str, str] = {}
    for what, name in columns.named().items():
        if name in roles:
            problem = f"column {name!r} can't be that of {roles[name]}s and of {what}s"
            raise file.error(problem, file.columns.format(what=file.users if what == "user" else what))
        roles[name] = file.users if what == "user" else what
        if names.count(name) == 1:
            continue
        if names.count(name) > 1:
            raise file.error(f"has {names.count(name)} columns {name!r}", "rename all but one")
        if looks_like_data(names):
            problem = f"has no column {name!r}: its first line is not a header ({_shown(names)})"
            raise file.error(problem, file.header)
        problem = f"has no column {name!r}, only {_shown(names) or 'an empty first line'}"
        raise file.error(problem, file.columns.format(what=file.users if what == "user" else what))


def looks_like_data(names: Sequence[str]) -> bool:
    """Whether a first line is a row: something in it is a number or a time."""
    return any(_is_number(name) or is_iso(name) for name in names)


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 150 else text[:150] + " ..."


def bad_file(path: pathlib.Path, problem: str, remedy: str) -> UserError:
    """The error of a file that can't be used."""
    return UserError("--data.path", path, problem, remedy)


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
