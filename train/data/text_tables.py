"""Events from tables of text: all columns at once where ids are whole numbers, row by row otherwise."""

import csv
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from train.errors import UserError

ROWS_PER_BLOCK = 100_000
WHOLE_NUMBER_FIELD = r'[ "]*(?:0|-?[1-9][0-9]*)[ "]*'
"""An id that is the same text after it was a number: 007, +7, 7.0 and 7e0 are not."""
Coded = tuple[Int[np.ndarray, " n"], list[str]]
"""Of each event a place in a list of ids, or -1, and the ids."""


class Columns(NamedTuple):
    """The names of a table's columns; an empty name says that there is none."""

    user: str = "user"
    item: str = "item"
    rating: str = ""
    time: str = ""

    def named(self) -> dict[str, str]:
        """Those that there are: what each is to its name."""
        return {what: name for what, name in self._asdict().items() if name}


class RawEvents(NamedTuple):
    """A table's events; rating and time where they were asked for."""

    user: Coded
    item: Coded
    rating: Float[np.ndarray, " n"] | None
    time: Float[np.ndarray, " n"] | None


class Ids(dict[str, int]):
    """Numbers ids in the order of their first appearance."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def read_text(
    file: pathlib.Path, columns: Columns, separator: str, names: tuple[str, ...] | None
) -> RawEvents:
    """A table of text; without `names` the first line is the header."""
    try:
        header = names
        if header is None:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                header = tuple(field.strip() for field in next(csv.reader(lines, delimiter=separator), ()))
        check_columns(file, columns, header)
        table = _Table(file, columns, separator, header, int(names is None))
        return _read_whole_numbers(table) or _read_any_ids(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise bad_file(file, f"is no table of text ({first_line(error)})", "save it as UTF-8 text") from error


class _Table(NamedTuple):
    """A file, its columns, and how to read it."""

    file: pathlib.Path
    columns: Columns
    separator: str
    header: tuple[str, ...]
    skip: int

    def lines(self) -> Iterator[str]:
        """Without the header; fields that two characters separate are separated by a tab instead."""
        with self.file.open(encoding="utf-8-sig", newline="") as lines:
            wanted = itertools.islice(lines, self.skip, None)
            yield from (line.replace("::", "\t") for line in wanted) if self.separator == "::" else wanted

    def delimiter(self) -> str:
        """Of the fields of `lines`."""
        return "\t" if self.separator == "::" else self.separator

    def whole_number_ids(self) -> re.Pattern[str]:
        """A line with all fields, and none too many, whose ids are whole numbers."""
        ids = self.columns.user, self.columns.item
        separator = re.escape(self.delimiter())
        fields = [WHOLE_NUMBER_FIELD if name in ids else rf"[^{separator}]*" for name in self.header]
        return re.compile(separator.join(fields) + r"\s*")


def _read_whole_numbers(table: _Table) -> RawEvents | None:
    """All columns at once, some times faster than row by row; None where an id would not stay the text it is."""
    named = table.columns.named()
    place = [table.header.index(name) for name in named.values()]
    lines, blocks, well_formed = table.lines(), [], table.whole_number_ids().fullmatch
    while block := list(itertools.islice(lines, ROWS_PER_BLOCK)):
        # loadtxt passes over fields too many at the end of a line; such a table is read row by row, which says so.
        if not all(map(well_formed, block)):
            return None
        try:
            rows = np.loadtxt(
                block, delimiter=table.delimiter(), usecols=place, ndmin=2, comments=None, quotechar='"'
            )
        except ValueError:
            return None
        if np.abs(rows[:, :2]).max() >= 2**53:
            return None
        blocks.append(rows)
    if not blocks:
        return None
    user, item, *numbers = np.concatenate(blocks).T
    known = dict(zip([what for what in named if what not in ("user", "item")], numbers, strict=True))
    users, items = (numbered(column.astype(np.int64)) for column in (user, item))
    return RawEvents(users, items, known.get("rating"), known.get("time"))


def _read_any_ids(table: _Table) -> RawEvents:
    """Row by row, with a message for the first row that is wrong."""
    user, item, blocks = Ids(), Ids(), []
    named = table.columns.named()
    place = {what: table.header.index(name) for what, name in named.items()}
    reader = csv.reader(table.lines(), delimiter=table.delimiter())
    for first_row, fields in _blocks(table.file, reader, len(table.header)):
        codes = [
            np.fromiter(map(ids.__getitem__, fields[place[what]]), np.int32, len(fields[0]))
            for what, ids in (("user", user), ("item", item))
        ]
        numbers = [
            _numbers(table.file, named[what], fields[place[what]], first_row) if what in named else None
            for what in ("rating", "time")
        ]
        blocks.append((*codes, *numbers))
    if not blocks:
        raise bad_file(table.file, "holds no event", "give a file with at least one row")
    users, items, rating, time = zip(*blocks, strict=True)
    numbers = (None if column[0] is None else np.concatenate(column) for column in (rating, time))
    return RawEvents((np.concatenate(users), list(user)), (np.concatenate(items), list(item)), *numbers)


def _blocks(
    file: pathlib.Path, reader: Iterator[list[str]], width: int
) -> Iterator[tuple[int, list[tuple[str, ...]]]]:
    """(number of the first row, columns) of some rows at a time; blank lines don't count."""
    first = 1
    rows = (row for row in reader if row)
    while block := list(itertools.islice(rows, ROWS_PER_BLOCK)):
        wrong = next((i for i, row in enumerate(block) if len(row) != width), None)
        if wrong is not None:
            found = f"{len(block[wrong])} fields, not {width}: {','.join(block[wrong])[:60]!r}"
            problem = f"row {first + wrong} has {found}"
            raise bad_file(file, problem, "mend or remove that row")
        yield first, list(zip(*block, strict=True))
        first += len(block)


def _numbers(file: pathlib.Path, name: str, fields: Sequence[str], first_row: int) -> Float[np.ndarray, " n"]:
    try:
        return np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        row = next(i for i, field in enumerate(fields) if not _is_number(field))
        problem = f"row {first_row + row} has {fields[row]!r} in column {name!r}, which is no number"
        raise bad_file(file, problem, "mend or remove that row") from None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def numbered(column: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Whole numbers as ids in their order."""
    values, codes = np.unique(column, return_inverse=True)
    return codes.astype(np.int32), [str(value) for value in values.tolist()]


def separator_of(head: str) -> str:
    """What separates the fields of a table with this first line: comma, semicolon or tab."""
    return max(",;\t", key=head.count)


def check_columns(file: pathlib.Path, columns: Columns, header: Iterable[str]) -> None:
    """Raises UserError where a named column is missing."""
    header = list(header)
    for what, name in columns.named().items():
        if name not in header:
            problem = f"there is no such column in {file}, which has {', '.join(header) or 'none'}"
            raise UserError(f"--data.{what}-column", name, problem, "name one of those")
    if not (columns.user and columns.item):
        raise UserError("--data.user-column", columns.user, "users and items need a column each", "name both")


def bad_file(path: pathlib.Path, problem: str, remedy: str) -> UserError:
    """The error of a file that can't be used."""
    return UserError("--data.path", path, problem, remedy)


def first_line(error: Exception) -> str:
    """Of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
