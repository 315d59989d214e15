"""Reading JSON that people or other programs may have altered."""

import json
from pathlib import Path
from typing import Any

from train.errors import UserError
from train.regular_files import require_regular


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
      ValueError: it is not JSON, nested or long beyond what Python's parser takes, or an object has a key twice.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one key the parser would keep the last without a word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the key {key[:40]!r} twice")
        found[key] = value
    return found


def read_json(path: Path, field: str, remedy: str) -> Any:
    """The value of a JSON file in UTF-8, with or without a byte-order mark.

    Args:
      path: the file.
      field: what the user calls it, for the error.
      remedy: what the user can do about a damaged file, for the error.

    Raises:
      UserError: the file can't be read, or is not JSON.
    """
    try:
        require_regular(path)
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(field, path, f"can't be read ({reason[:200]})", remedy) from error
