"""Names of the classes of label maps, from a file of the user's own."""

from pathlib import Path

from train.errors import UserError
from train.json_files import parse_json
from train.regular_files import require_regular

FLAG = "--data.class-names"
_REMEDY = 'give one name per line, in the order of the classes, or JSON: ["sky", "road"] or {"0": "sky", "1": "road"}'


def read_class_names(path: Path, classes: int) -> tuple[str, ...]:
    """One name per class.

    Args:
      path: text with one name per line; or, where the file's name ends in .json, a list of names, or names by class.
      classes: L.

    Raises:
      UserError: the file can't be read, or does not name every class once.
    """
    try:
        require_regular(path.expanduser())
        content = path.expanduser().read_bytes()
        names = _of_json(content) if path.suffix.lower() == ".json" else _of_lines(content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(FLAG, path, f"can't be read ({reason[:200]})", _REMEDY) from error
    if len(names) != classes:
        raise UserError(FLAG, path, f"names {len(names)} classes, but there are {classes}", _REMEDY)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        problem = f"names two classes {twice[0][:40]!r}" if twice and twice[0] else "leaves a name empty"
        raise UserError(FLAG, path, problem, "give every class a name of its own")
    return names


def _of_lines(content: bytes) -> tuple[str, ...]:
    return tuple(" ".join(line.split()) for line in content.decode("utf-8-sig").strip().splitlines())


def _of_json(content: bytes) -> tuple[str, ...]:
    value = parse_json(content)
    if isinstance(value, dict):
        if set(value) != set(map(str, range(len(value)))):
            raise ValueError("its keys are not the classes from 0 on")
        value = [value[str(i)] for i in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("it is not a list of names")
    return tuple(" ".join(name.split()) for name in value)
