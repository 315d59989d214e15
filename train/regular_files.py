"""Files that are read more than once, or to their end: pipes and devices would hang there."""

import errno
from pathlib import Path


def require_regular(path: Path) -> None:
    """Raises OSError, with a reason in its `strerror`, for a pipe, a socket or a device."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is not a regular file: save it first", str(path))
