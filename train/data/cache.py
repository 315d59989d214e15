"""Tables of examples, read once from any file into memory or, when large, into a memory-mapped folder."""

import contextlib
import dataclasses
import hashlib
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from train.errors import UserError

IN_MEMORY_BYTES = 64 * 2**20


class Block(NamedTuple):
    """Consecutive examples: images, and int32 factors of [B, 0] where none are known, from row `start` on."""

    start: int
    images: UInt8[np.ndarray, "B ..."]
    factors: Int[np.ndarray, "B F"]


@dataclasses.dataclass(frozen=True)
class Table:
    """A set of examples that has been opened and checked but not read.

    Attributes:
      origin: the file or folder; its path, size and time of change name the cache.
      image_shape: [N, height, width, channels].
      factor_count: F, or 0 where no factors are known.
      blocks: reads all examples once, in blocks of any order that together cover every row.
    """

    origin: pathlib.Path
    image_shape: tuple[int, ...]
    factor_count: int
    blocks: Callable[[], Iterator[Block]]

    @property
    def layout(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of each array."""
        image = {"image": (self.image_shape, np.dtype(np.uint8))}
        factors = {"factors": ((self.image_shape[0], self.factor_count), np.dtype(np.int32))}
        return image | factors if self.factor_count else image


def load(table: Table, cache_dir: pathlib.Path) -> Mapping[str, np.ndarray]:
    """The arrays of a table: `image`, and `factors` where they are known.

    Small tables are read into memory. Large ones become read-only memory maps of a folder of the cache, which
    is written on first use, under a temporary name until it is complete, and found again while the origin is
    unchanged.

    Raises:
      UserError: the cache can't be written; nothing of it is left behind.
    """
    if math.prod(table.image_shape) <= IN_MEMORY_BYTES:
        return _read(table)
    folder = cache_dir / f"{table.origin.stem}-{_fingerprint(table.origin)}"
    try:
        return _map(table, folder)
    except (OSError, ValueError):  # not there, or damaged by other hands
        shutil.rmtree(folder, ignore_errors=True)
        _write(table, folder)
        return _map(table, folder)


def place(folder: pathlib.Path) -> pathlib.Path:
    """The folder of the cache; without a home folder one in that of temporary files, of this user's own."""
    try:
        return folder.expanduser()
    except RuntimeError:
        return pathlib.Path(tempfile.gettempdir()) / f"jaxmodels-{os.getuid()}"


def _fingerprint(origin: pathlib.Path) -> str:
    files = sorted(p for p in (origin, *origin.rglob("*")) if p.is_file())
    facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr((str(origin.resolve()), facts)).encode()).hexdigest()[:16]


def _read(table: Table) -> dict[str, np.ndarray]:
    arrays = {name: np.empty(shape, dtype) for name, (shape, dtype) in table.layout.items()}
    for block in table.blocks():
        rows = slice(block.start, block.start + len(block.images))
        arrays["image"][rows] = block.images
        if table.factor_count:
            arrays["factors"][rows] = block.factors
    return arrays


def _map(table: Table, folder: pathlib.Path) -> dict[str, np.ndarray]:
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in table.layout}
    if {name: (a.shape, a.dtype) for name, a in arrays.items()} != table.layout:
        raise ValueError("the cache holds other arrays")
    return arrays


def _write(table: Table, folder: pathlib.Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=folder.parent, prefix="partial-", ignore_cleanup_errors=True
        ) as partial:
            draft = pathlib.Path(partial) / "draft"
            draft.mkdir()
            _write_arrays(table, draft)
            if not folder.exists():  # another process may have been faster
                draft.rename(folder)
    except OSError as error:
        size = math.prod(table.image_shape) / 1e9
        raise UserError(
            "--data.cache-dir",
            folder.parent,
            f"the images can't be written there ({error.strerror or error})",
            f"name a writable folder with {size:.1f} GB to spare",
        ) from error


def _write_arrays(table: Table, folder: pathlib.Path) -> None:
    """Through plain files: a full disk raises there, and kills a process that stores into a memory map."""
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(_ArrayFile(folder / f"{name}.npy", shape, dtype))
            for name, (shape, dtype) in table.layout.items()
        }
        for block in table.blocks():
            rows = {"image": block.images, "factors": block.factors}
            for name, file in files.items():
                file.write(block.start, rows[name])


class _ArrayFile(contextlib.AbstractContextManager):
    """A `.npy` file whose rows may be written in any order."""

    def __init__(self, path: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype):
        self._dtype, self._row_bytes = dtype, math.prod(shape[1:]) * dtype.itemsize
        self._file = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._first = self._file.tell()

    def write(self, start: int, rows: np.ndarray) -> None:
        self._file.seek(self._first + start * self._row_bytes)
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)

    def __exit__(self, *exception: object) -> None:
        self._file.close()
