"""Files that are either absent, old or whole, never half written."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable

from train.errors import UserError

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def refuse_input(out: pathlib.Path, inputs: Iterable[pathlib.Path], flag: str = "--out") -> None:
    """Raises UserError where what is to be written is also read: by name, by a link, or in one of the folders."""
    for given in inputs:
        there = given.exists() and out.exists() and given.samefile(out)
        inside = given.is_dir() and out.resolve().parent == given.resolve()
        if there or inside or given.resolve() == out.resolve():
            raise UserError(flag, out, f"is in or is {given}, which is read", "name another place")


def write_atomically(
    path: str | os.PathLike[str],
    content: bytes,
    field: str = "output file",
    remedy: str = "free space there or choose another --run-dir",
) -> pathlib.Path:
    """Writes a small file through a temporary neighbour and a rename; a reader never sees half of it.

    Args:
      path: where to; missing folders are made.
      content: the bytes of the whole file.
      field: what the user calls the file, for the error.
      remedy: what the user can do, for the error.

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
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        _remove(temporary)
        problem = f"can't be written ({getattr(error, 'strerror', None) or error})"
        if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
            remedy = "move what lies in its place away"
        raise UserError(field, target, problem, remedy) from error
    return target


def sweep(folder: pathlib.Path) -> None:
    """Removes the temporary files below a folder whose writers are gone: a kill in the middle of a write leaves one.

    The caller holds the lock of the folder, so that no other host writes there.
    """
    for path in folder.rglob(".*.tmp"):
        written = _TEMPORARY.fullmatch(path.name)
        with contextlib.suppress(OSError):
            if written and not _alive(int(written[1])):
                path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # another user's
    return process != os.getpid()  # ours is from an earlier process that had the same number


def _remove(path: pathlib.Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return  # what made the write fail makes this fail too; the first error is the one to tell
