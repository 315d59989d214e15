"""A user's table from the values in label files to classes, as JSON or CSV."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from train.data.label_maps import LARGEST_VALUE
from train.data.table_files import SHOWN, TableFile, rows, separator_of
from train.json_files import read_json

FIELD = "--data.remap"
REMEDY = 'give JSON such as {"7": 0, "8": "unknown"}, or CSV lines value,class'


class _Pair(NamedTuple):
    """A line of the table as text, and where it stands."""

    where: str
    value: str
    label: str


def read_remap(path: Path, classes: int, dont_care: bool) -> dict[int, int | None]:
    """A user's table from values to classes, None for unknown.

    Args:
      path: JSON, `{"7": 0, "8": 1, "0": "unknown"}`; or CSV without a heading, one `value,class` per line.
      classes: L.
      dont_care: whether a class may be `unknown`.

    Raises:
      UserError: it can't be read, or a line of it makes no sense.
    """
    file, table = TableFile(path, FIELD), {}
    for pair in _json_pairs(file) if path.suffix.lower() == ".json" else _csv_pairs(file):
        value, label = _checked(file, pair, classes, dont_care)
        if value in table:
            raise file.error(f"{pair.where}{value} is listed twice", "leave one of them out")
        table[value] = label
    if not table:
        raise file.error("lists no value", REMEDY)
    return table


def _json_pairs(file: TableFile) -> Iterator[_Pair]:
    content = read_json(file.path, FIELD, REMEDY)
    if not isinstance(content, dict):
        raise file.error("can't be read: it is not a JSON object", REMEDY)
    for value, label in content.items():
        yield _Pair("", value.strip(), str(label)[:SHOWN].strip())


def _csv_pairs(file: TableFile) -> Iterator[_Pair]:
    separator = separator_of(file.first_line())
    for line, fields in rows(file, file.lines(), separator, ("value", "class")):
        if len(fields) != 2:
            raise file.error(f"can't be read: line {line} has {len(fields)} fields, not 2", REMEDY)
        yield _Pair(f"line {line}: ", *(field.strip() for field in fields))


def _checked(file: TableFile, pair: _Pair, classes: int, dont_care: bool) -> tuple[int, int | None]:
    where, value, label = pair
    remedy = f"give a value from 0 to {LARGEST_VALUE} and a class from 0 to {classes - 1}"
    number, of_class = _whole(value), _whole(label)
    if number is None or number > LARGEST_VALUE:
        raise file.error(f"{where}{value[:SHOWN]!r} in column 'value' is not a value of a label map", remedy)
    if label == "unknown" and dont_care:
        return number, None
    if of_class is None or of_class >= classes:
        unknown = ", or unknown" if dont_care else " (unknown needs --data.dont-care True)"
        problem = f"{where}{number} becomes {label[:SHOWN]!r} in column 'class'"
        raise file.error(problem, remedy + unknown)
    return number, of_class


def _whole(text: str) -> int | None:
    """A whole number of a few digits, as it may stand in a table."""
    short = text.lstrip("0") or "0"
    return int(short) if text and text.isascii() and text.isdecimal() and len(short) <= 9 else None
