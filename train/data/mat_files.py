"""The one reader of MATLAB files up to version 7.2, whose parts may claim more than the file holds.

SciPy reads them, and claims memory by the sizes that the file states; so these are checked first, by a walk over
them. The form is documented by The MathWorks, "MAT-File Format".
"""

import math
import pathlib
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

import numpy as np
import scipy.io
from scipy.io.matlab import matfile_version

from train.inflation import check_inflation

_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _SPARSE, _OPAQUE = 1, 2, 3, 5, 17
_HEADER, _TAG, _OLD_HEADER = 128, 8, 20
_DEEPEST = 50
"""Levels of cells in cells."""
_MOST_AXES_BYTES = 32 * 4
_OLD_NUMBERS = (8, 4, 4, 2, 2, 1)
"""Bytes of a number of each kind of version 4."""


def read_mat(path: pathlib.Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the variables that the file has, by name.

    Raises:
      TooLargeError: the file inflates beyond the limit.
      ValueError: a size that it states is more than it holds.
      Exception: of SciPy or zlib, for other damage.
    """
    with path.open("rb") as file:
        check = _check_old if matfile_version(file)[0] == 0 else _check
        file.seek(0)
        check(file, path.stat().st_size)
    found = scipy.io.loadmat(path, appendmat=False, variable_names=names)
    return {name: found[name] for name in names if name in found}


def _check_old(file: IO[bytes], length: int) -> None:
    """Raises ValueError where a variable of version 4 claims more than the file holds."""
    at = 0
    while at < length:
        file.seek(at)
        header = file.read(_OLD_HEADER).ljust(_OLD_HEADER, b"\0")
        order = "<" if 0 <= struct.unpack("<i", header[:4])[0] <= 5000 else ">"
        form, rows, columns, imaginary, name = struct.unpack(f"{order}5i", header)
        kind = form // 10 % 10
        if min(form, rows, columns, name) < 0 or kind >= len(_OLD_NUMBERS):
            raise ValueError("a variable has a header that makes no sense")
        parts = 2 if imaginary and form % 10 == 0 else 1
        size = name + rows * columns * parts * _OLD_NUMBERS[kind]
        at += _OLD_HEADER + size
        if at > length:
            raise ValueError(f"a variable claims {size:,} bytes, more than the file holds")


def _check(file: IO[bytes], length: int) -> None:
    """Raises ValueError or TooLargeError where an element of version 5 claims more than there is."""
    order = "<" if file.read(_HEADER)[126:] == b"IM" else ">"
    at, total, count = _HEADER, 0, 0
    while at + _TAG <= length:
        file.seek(at)
        kind, size = struct.unpack(f"{order}II", file.read(_TAG))
        at, count = at + _TAG + size, count + 1
        if at > length:
            raise ValueError(f"an element claims {size:,} bytes, more than the file holds")
        content = _Bytes(file.read)
        if kind == _COMPRESSED:
            content = _Bytes(_inflating(file, size))
            kind, size = struct.unpack(f"{order}II", content.take(_TAG))
            total += size
            check_inflation(length, total, f"number {count}")
        if kind == _MATRIX:
            _check_matrix(content, order, size)


class _Bytes:
    """What follows in a stream; what is skipped is passed over once something behind it is asked for."""

    def __init__(self, read: Callable[[int], bytes]):
        self._read, self._skipped = read, 0

    def skip(self, count: int) -> None:
        self._skipped += count

    def take(self, count: int) -> bytes:
        while self._skipped:
            self._skipped -= len(self._some(min(self._skipped, 2**16)))
        taken = b""
        while len(taken) < count:
            taken += self._some(count - len(taken))
        return taken

    def _some(self, most: int) -> bytes:
        part = self._read(most)
        if not part:
            raise ValueError("an element ends early")
        return part


def _inflating(file: IO[bytes], size: int) -> Callable[[int], bytes]:
    """Reads what `size` compressed bytes of the file inflate to."""
    decoder, left, packed = zlib.decompressobj(), size, b""

    def read(most: int) -> bytes:
        nonlocal left, packed
        while True:
            if not packed and left:
                packed = file.read(min(left, 2**16))
                left -= len(packed)
            part = decoder.decompress(packed, most)
            if part or decoder.eof or not (decoder.unconsumed_tail or left):
                packed = decoder.unconsumed_tail
                return part
            packed = decoder.unconsumed_tail

    return read


class _Tag(NamedTuple):
    """How an element begins: its kind, the bytes of its content, and the content where it lies in the tag."""

    kind: int
    size: int
    content: bytes | None


def _tag(stream: _Bytes, order: str) -> _Tag:
    tag = stream.take(_TAG)
    first, second = struct.unpack(f"{order}II", tag)
    if first >> 16:
        return _Tag(first & 0xFFFF, min(first >> 16, 4), tag[4:])
    return _Tag(first, second, None)


def _check_matrix(stream: _Bytes, order: str, size: int, depth: int = 0) -> None:
    """Raises ValueError where a part of a matrix claims more than the matrix, or its shape more than its parts."""
    if depth > _DEEPEST:
        raise ValueError("its cells are nested too deeply")
    left, place, kind = size, 0, 0
    while left >= _TAG:
        tag = _tag(stream, order)
        left -= _TAG
        if tag.content is None and tag.size > left:
            raise ValueError(f"an element claims {tag.size:,} bytes of the {left:,} that there are")
        padded = 0 if tag.content is not None else min(-(-tag.size // 8) * 8, left)
        if tag.kind == _MATRIX:
            _check_matrix(stream, order, tag.size, depth + 1)
            stream.skip(padded - tag.size)
        elif place < 2 and tag.content is None:
            if tag.size > _MOST_AXES_BYTES:
                raise ValueError("a matrix has too many axes")
            tag = tag._replace(content=stream.take(padded))
        else:
            stream.skip(padded)
        if place == 0:
            kind = struct.unpack(f"{order}I", (tag.content or b"")[:4].ljust(4, b"\0"))[0] & 0xFF
        elif place == 1 and kind != _OPAQUE:
            axes = struct.unpack(f"{order}{tag.size // 4}i", (tag.content or b"")[: tag.size // 4 * 4])
            _check_shape(axes, kind, size)
        left, place = left - padded, place + 1
    stream.skip(left)


def _check_shape(axes: Sequence[int], kind: int, size: int) -> None:
    least = 8 if kind in (_CELL, _STRUCT, _OBJECT) else 1
    if min(axes, default=0) < 0 or (kind != _SPARSE and math.prod(axes) * least > size):
        raise ValueError(f"a matrix claims the shape {list(axes)}, more than its {size:,} bytes hold")
