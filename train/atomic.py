"""Files that are either absent, old or whole, never half written."""

import os
import pathlib

from train.errors import UserError


def write_atomically(path: str | os.PathLike[str], content: bytes) -> pathlib.Path:
    """Writes a small file through a temporary neighbour and a rename; a reader never sees half of it.

    Args:
      path: where to; missing folders are made.
      content: the bytes of the whole file.

    Returns:
      The path.

    Raises:
      UserError: when the place can't be written (read-only, full, a folder); an older file stays whole.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        _remove(temporary)
        problem = f"can't be written ({error.strerror or error})"
        raise UserError(
            "output file", target, problem, "free space there or choose another --run-dir"
        ) from error
    return target


def _remove(path: pathlib.Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # what made the write fail makes this fail too; the first error is the one to tell
