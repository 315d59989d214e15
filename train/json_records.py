"""Fields of JSON files that a program wrote and reads back: of the type and size that they can have, or one error."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from train.errors import UserError
from train.json_files import read_json

SHOWN = 60
LARGEST = 2**31 - 1


class Record(NamedTuple):
    """A JSON object.

    Attributes:
      content: its fields.
      name: of the file, for errors.
      field: what the user named it by.
      value: what the user gave there.
      remedy: what to do about a damaged file.
    """

    content: dict[str, Any]
    name: str
    field: str
    value: object
    remedy: str

    def error(self, problem: str) -> UserError:
        """The error of a file that can't be used."""
        return UserError(self.field, self.value, f"its {self.name} {problem}", self.remedy)

    def get(self, name: str) -> Any:
        """A field of any type.

        Raises:
          UserError: it is missing.
        """
        if name not in self.content:
            raise self.error(f"has no {name!r}")
        return self.content[name]

    def whole(self, name: str, least: int = 0, most: int = LARGEST) -> int:
        """A whole number in a range.

        Raises:
          UserError: it is missing or another one.
        """
        value = self.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, value, f"a whole number from {least:,} to {most:,}")
        return value

    def number(self, name: str, least: float = 0.0) -> float:
        """A finite number that is not below the least.

        Raises:
          UserError: it is missing or another one.
        """
        value = self.get(name)
        if type(value) not in (int, float) or not least <= value <= LARGEST:
            raise self._wrong(name, value, f"a number from {least:g} on")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false.

        Raises:
          UserError: it is missing or neither.
        """
        value = self.get(name)
        if type(value) is not bool:
            raise self._wrong(name, value, "true or false")
        return value

    def text(self, name: str, known: Collection[str] = ()) -> str:
        """A text; one of those that are known, where they are given.

        Raises:
          UserError: it is missing or another one.
        """
        value = self.get(name)
        if not _is_text(value) or (known and value not in known):
            raise self._wrong(name, value, f"one of {', '.join(known)}"[:200] if known else "a text")
        return value

    def texts(self, name: str, least: int = 0, distinct: bool = True) -> list[str]:
        """A list of texts, at least so many, each once where they have to be distinct.

        Raises:
          UserError: it is missing or another one.
        """
        value = self.get(name)
        if not isinstance(value, list) or len(value) < least:
            raise self._wrong(name, value, f"a list of {'texts' if not least else f'{least} or more texts'}")
        seen: set[str] = set()
        for place, text in enumerate(value):
            if not _is_text(text):
                raise self._wrong(f"{name}[{place}]", text, "a text")
            if distinct and text in seen:
                raise self.error(f"has {text[:SHOWN]!r} twice in {name!r}")
            seen.add(text)
        return value

    def _wrong(self, name: str, value: object, wanted: str) -> UserError:
        return self.error(f"has {name!r} = {_shown(value)}, which is not {wanted}")


def read_record(path: Path, field: str, value: object, remedy: str) -> Record:
    """The object in a JSON file.

    Args:
      path: the file.
      field: what the user named it, or its folder, by.
      value: what the user gave there.
      remedy: what to do about a damaged file.

    Raises:
      UserError: the file can't be read, or holds no object.
    """
    try:
        content = read_json(path, field, remedy)
    except UserError as error:
        raise UserError(field, value, f"its {path.name} {error.problem}", remedy) from error
    record = Record({}, path.name, field, value, remedy)
    if not isinstance(content, dict):
        raise record.error(f"holds {_shown(content)}, not an object")
    return record._replace(content=content)


def _is_text(value: object) -> bool:
    """Whether it is text that can be written out again; JSON may have half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    """A few characters of a value, whatever its size."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    if isinstance(value, str):
        return ascii(value[:SHOWN])
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:SHOWN]
