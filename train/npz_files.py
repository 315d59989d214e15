"""The one reader of `.npz` files, which may be damaged or claim more than they hold.

An array's header is checked against the file before anything is read, and nothing is ever unpickled.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import ZipFile, ZipInfo

import numpy as np

from train.errors import UserError, first_line, shorten
from train.inflation import TooLargeError, check_inflation
from train.regular_files import require_regular

_KINDS = "biufcSUmM"
_SAVE_AGAIN = "copy it again, or write it anew with np.savez"
_MOST_ROWS_OF_NOTHING = 10**6
_SEVERAL = 8


class Header(NamedTuple):
    """What an array's header says of it."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """An open file; its arrays are read when they are asked for.

    Attributes:
      names: of its arrays, in the order of the file.
    """

    def __init__(self, archive: ZipFile, size: int):
        self._archive, self._size, self._inflated = archive, size, dict[str, int]()
        self._members: dict[str, ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self._members:
                raise ValueError(f"two arrays are called {shorten(name)}")
            self._members[name] = member
        self.names = tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def header(self, name: str) -> Header:
        """Of one array, which the file is large enough to hold."""
        with self._open(name) as (_, header):
            return header

    def read(self, name: str) -> np.ndarray:
        """One array, in C order."""
        with self._open(name) as (stream, header):
            numbers = np.empty(math.prod(header.shape), header.dtype)
            _fill(stream, numbers.view(np.uint8).data if numbers.nbytes else memoryview(b""), name)
        _check_text(name, numbers)
        if header.fortran_order:
            return np.ascontiguousarray(numbers.reshape(header.shape[::-1]).T)
        return numbers.reshape(header.shape)

    def blocks(self, name: str, rows: int) -> Iterator[np.ndarray]:
        """One array in C order, `rows` rows at a time."""
        with self._open(name) as (stream, header):
            if header.fortran_order:
                raise ValueError(f"array {shorten(name)} is in Fortran order")
            for start in range(0, header.shape[0], rows):
                block = np.empty((min(rows, header.shape[0] - start), *header.shape[1:]), header.dtype)
                _fill(stream, block.reshape(-1).view(np.uint8).data, name)
                yield block

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[tuple[IO[bytes], Header]]:
        member = self._members[name]
        self._check_inflation(name, member.file_size)
        with self._archive.open(member) as stream:
            try:
                header = _read_header(stream)
            except Exception as error:  # NumPy evaluates the header as a literal, which fails in many ways
                raise ValueError(f"{shorten(name)} is not an array ({first_line(error)})") from error
            _check_header(name, header, member.file_size - stream.tell())
            yield stream, header

    def _check_inflation(self, name: str, size: int) -> None:
        self._inflated[name] = size
        check_inflation(self._size, sum(self._inflated.values()), name)


@contextlib.contextmanager
def open_npz(path: Path, field: str, remedy: str = _SAVE_AGAIN) -> Iterator[NpzFile]:
    """Opens a file; whatever goes wrong while it is read is one error.

    Args:
      path: the file.
      field: what the user calls it, for the error.
      remedy: what the user can do about a damaged file, for the error.

    Raises:
      UserError: the file is not an npz file, is damaged or encrypted, or claims what it can't hold.
    """
    path = path.expanduser()
    try:
        require_regular(path)
        with path.open("rb") as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise ValueError("it holds a single array without a name, as np.save writes it")
            with ZipFile(stream) as archive:
                yield NpzFile(archive, path.stat().st_size)
    except UserError:
        raise
    except TooLargeError as error:
        raise UserError(field, path, str(error), error.remedy) from error
    except Exception as error:  # each way in which a file is damaged raises a class of its own
        problem = f"not a readable npz file ({first_line(error)})"
        raise UserError(field, path, problem, remedy) from error


def read_npz(
    path: Path,
    field: str,
    wanted: Sequence[str] | None = None,
    optional: Sequence[str] = (),
    remedy: str = _SAVE_AGAIN,
) -> dict[str, np.ndarray]:
    """Arrays of a file by name.

    Args:
      path: the file.
      field: what the user calls it, for the error.
      wanted: which must be there; None for all.
      optional: which are read too where they exist.
      remedy: what the user can do, for the error.

    Raises:
      UserError: as `open_npz`, or an array is missing.
    """
    with open_npz(path, field, remedy) as file:
        if wanted is None:
            return {name: file.read(name) for name in file.names}
        if missing := [name for name in wanted if name not in file]:
            problem = f"has no array {missing[0]!r} (it holds {listed(file.names)})"
            raise UserError(field, path, problem, remedy)
        return {name: file.read(name) for name in (*wanted, *(n for n in optional if n in file))}


def listed(names: Sequence[str]) -> str:
    """The names, or the first of many, for a message."""
    more = f" and {len(names) - _SEVERAL} more" if len(names) > _SEVERAL else ""
    return (", ".join(shorten(name, 30) for name in names[:_SEVERAL]) or "nothing") + more


def _read_header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return Header(*np.lib.format.read_array_header_1_0(stream))
    return Header(*np.lib.format.read_array_header_2_0(stream))


def _check_header(name: str, header: Header, held: int) -> None:
    """Raises ValueError unless the header describes numbers or texts that take just the bytes that follow."""
    name, (shape, _, dtype) = shorten(name), header
    if dtype.hasobject:
        raise ValueError(f"array {name} holds Python objects, which are never read")
    if dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise ValueError(f"array {name} is of {shorten(dtype)}, which is not a plain number or text")
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"array {name} has the shape {shorten(shape)}")
    nothing = header.nbytes == 0 and max(shape, default=0) > _MOST_ROWS_OF_NOTHING
    if header.nbytes > held or nothing:
        claimed = f"{dtype} {shorten(list(shape))}"
        raise ValueError(
            f"the header of array {name} claims {claimed}, more than the {held:,} bytes it holds"
        )
    if header.nbytes < held:
        raise ValueError(f"array {name} has {held - header.nbytes:,} bytes more than its header says")


def _check_text(name: str, array: np.ndarray) -> None:
    """Raises ValueError for texts of numbers that are not characters, which Python can't hold."""
    if array.dtype.kind == "U" and array.nbytes:
        points = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if np.any((points > 0x10FFFF) | ((points >= 0xD800) & (points <= 0xDFFF))):
            raise ValueError(f"array {shorten(name)} holds text of numbers that are not characters")


def _fill(stream: IO[bytes], target: memoryview, name: str) -> None:
    at = 0
    while at < len(target):
        part = stream.read(min(len(target) - at, 2**24))
        if not part:
            raise ValueError(f"array {shorten(name)} ends early")
        target[at : at + len(part)] = part
        at += len(part)
    if len(target) == 0:
        stream.read(1)
