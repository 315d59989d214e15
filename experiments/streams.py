"""Standard output and error that are closed, full or narrow: they cost words, never a file."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Forgiving:
    """A stream on which printing never fails: characters that it lacks are escaped, what can't be written is dropped.

    Attributes:
      failure: the first error of the system, or None; a reader that went away is not one.
    """

    def __init__(self, stream: TextIO):
        self.failure: OSError | None = None
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Writes, or drops."""
        with self._forgiven():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes, or drops."""
        with self._forgiven():
            self._stream.flush()

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.failure is None and error.errno != errno.EPIPE:
                self.failure = error
            with contextlib.suppress(OSError, ValueError):  # so that what is buffered goes somewhere at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except ValueError:
            return  # closed by the program that runs this one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def forgiving() -> Iterator[Forgiving]:
    """Within it printing is harmless; gives the standard output."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 (no path of anyone's)
        output, errors = (Forgiving(stream or nowhere) for stream in before)
        sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
        try:
            yield output
        finally:
            output.flush()
            sys.stdout, changed = before[0], sys.stderr is not errors
            errors.flush()
            if not changed:  # by who sends it elsewhere for good
                sys.stderr = before[1]
