"""Files that are read more than once, or to their end: pipes and devices would hang there."""

import errno
from pathlib import Path


def why_no_file(path: Path) -> str:
    """What a path leads to that is not a regular file, in words."""
    if path.is_dir():
        return "is a folder"
    if path.exists():
        return "is not a regular file: save it first"
    return "is a link that leads nowhere" if path.is_symlink() else "no such file"


def require_regular(path: Path) -> None:
    """Raises OSError, with a reason in its `strerror`, for a pipe, a socket or a device."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is not a regular file: save it first", str(path))
