"""The one place where tables of text are opened and taken apart: encodings, line ends, quotes, limits of the parser."""

import codecs
import csv
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from train.errors import UserError

LONGEST_HEAD = 1_000_000
"""Characters of a first line; a file without a line end before them is not a table."""
SHOWN = 60
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_BINARY = ((b"\x1f\x8b", "compressed (gzip)"), (b"PK\x03\x04", "a zip archive or a spreadsheet"))


class TableFile(NamedTuple):
    """A file with a table of text.

    Attributes:
      path: where it is.
      field: what the user named it by, for errors.
      users: what the column of users is called.
      columns: the remedy where a column is missing.
      header: the remedy where the first line is not a header.
    """

    path: pathlib.Path
    field: str = "--data.path"
    users: str = "user"
    columns: str = "name the column of {what}s by --data.{what}-column"
    header: str = "write the names of the columns as its first line"

    def error(self, problem: str, remedy: str) -> UserError:
        """The error of a table that can't be used."""
        return UserError(self.field, self.path, problem, remedy)

    def lines(self) -> Iterator[str]:
        """Its lines, each ended by a line feed, whatever ends them in the file.

        Raises:
          UserError: it can't be opened, or isn't text in UTF-8.
        """
        self._check()
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                yield from lines
        except UnicodeDecodeError:
            problem = f"line {self._undecodable_line()} is not UTF-8"
            raise self.error(problem, "save it as UTF-8, e.g. by iconv -f latin1 -t utf-8") from None
        except OSError as error:
            raise self.error(f"can't be read ({error.strerror})", "name another file") from error

    def first_line(self) -> str:
        """The first line that is not blank, empty where there is none.

        Raises:
          UserError: see `lines`; or it is not a table.
        """
        self._check()
        try:
            with self.path.open(encoding="utf-8-sig", errors="replace") as lines:
                head = lines.readline(LONGEST_HEAD)
                while head.isspace():
                    head = lines.readline(LONGEST_HEAD)
        except OSError as error:
            raise self.error(f"can't be read ({error.strerror})", "name another file") from error
        if len(head) == LONGEST_HEAD:
            raise self.error(f"has no line end in {LONGEST_HEAD:,} characters", "give a table of text")
        return head.rstrip("\n")

    def _check(self) -> None:
        """Raises UserError for what is not a file, or is text in another encoding than UTF-8."""
        try:
            if self.path.is_dir():
                raise self.error("is a folder", "name the file itself")
            if not self.path.exists():
                raise self.error("no such file", "name the file itself")
            if not self.path.is_file():
                raise self.error("is not a regular file", "save it first, it is read more than once")
            with self.path.open("rb") as file:
                start = file.read(1000)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
            reason = getattr(error, "strerror", None) or error
            raise self.error(f"can't be read ({reason})", "name another file") from error
        if not start.removeprefix(codecs.BOM_UTF8).strip():
            raise self.error("is empty", "give a table with at least one row")
        for mark, encoding in _OTHER_ENCODINGS:
            if start.startswith(mark):
                raise self.error(f"is text in {encoding}", "save it as UTF-8")
        for mark, what in _BINARY:
            if start.startswith(mark):
                raise self.error(f"is {what}, not text", "unpack it, or export it as CSV")
        if b"\0" in start:
            problem = "holds NUL bytes: it is not text, or in an encoding other than UTF-8"
            raise self.error(problem, "save it as text in UTF-8")

    def _undecodable_line(self) -> int:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return number
        return number if line else 0


class Row(NamedTuple):
    """A row of a table: the number of the line on which it begins, from 1, and its fields."""

    line: int
    fields: list[str]


def rows(
    file: TableFile, lines: Iterable[str], separator: str, header: Sequence[str] = (), first_line: int = 1
) -> Iterator[Row]:
    """The rows of lines; blank ones are passed over.

    Args:
      file: whose lines they are.
      lines: each with its end.
      separator: one character, or `::`.
      header: the names of the columns, for errors.
      first_line: the number of the first of the lines.

    Raises:
      UserError: a field is beyond what Python's parser takes, or a quote is not closed.
    """
    watched = _Watched(lines, separator)
    reader = csv.reader(watched, delimiter=watched.delimiter, skipinitialspace=True)
    while True:
        begins = first_line + reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _unparsed(file, watched, begins, header, error) from None
        if watched.ended:
            problem = f"line {begins}: a quote that opens there is not closed"
            raise file.error(problem, "close it, or double quotes that belong to a text")
        if fields and not (len(fields) == 1 and not fields[0].strip()):
            yield Row(begins, fields)


class _Watched:
    """Lines as the parser takes them; remembers the newest, and whether it asked for one more than there are."""

    def __init__(self, lines: Iterable[str], separator: str):
        self._lines, self._two = iter(lines), separator == "::"
        self.delimiter = "\t" if self._two else separator
        self.newest, self.ended = "", False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            # Only inside a quote is a row still handed out after this.
            self.ended = True
            raise
        self.newest = line.replace("::", "\t") if self._two else line
        return self.newest


def _unparsed(
    file: TableFile, watched: _Watched, line: int, header: Sequence[str], error: csv.Error
) -> UserError:
    """Names the column where possible."""
    limit = csv.field_size_limit()
    if "field larger" not in str(error):
        return file.error(f"line {line} can't be taken apart ({error})", "mend or remove that line")
    fields = watched.newest.split(watched.delimiter)
    place = next((i for i, field in enumerate(fields) if len(field) > limit), None)
    if place is None:
        problem = f"line {line} has a field of more than {limit:,} characters"
        return file.error(problem, "close a quote that is left open there, or shorten the field")
    column = repr(header[place][:SHOWN]) if place < len(header) else str(place + 1)
    problem = f"line {line} has more than {limit:,} characters in column {column}"
    return file.error(problem, "shorten that field, or remove that line")


def separator_of(head: str) -> str:
    """What separates the fields of a table with this first line: `::`, or a comma, semicolon, tab or bar."""
    outside = re.sub(r'"[^"]*"', "", head)
    return "::" if "::" in outside else max(",;\t|", key=outside.count)


def header_of(file: TableFile) -> tuple[tuple[str, ...], str, int]:
    """(fields of the first row that is not blank, what separates them, how many lines they end at).

    Raises:
      UserError: the file can't be read.
    """
    head = file.first_line()
    separator = separator_of(head)
    taken = _Counted(file.lines())
    first = next(rows(file, taken, separator), None)
    fields = () if first is None else tuple(field.strip() for field in first.fields)
    return fields, separator, taken.count


class _Counted:
    """Lines, and how many were taken."""

    def __init__(self, lines: Iterable[str]):
        self._lines, self.count = iter(lines), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return line
