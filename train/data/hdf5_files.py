"""The one reader of HDF5 files, whose datasets may claim more than the file holds, or lie in other files."""

import contextlib
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import h5py

from train.errors import first_line, shorten
from train.inflation import TooLargeError, check_inflation

_KINDS = "biufcS"


class Hdf5File:
    """An open file; its datasets are checked when they are asked for.

    Raises (from its methods):
      ValueError: a dataset is not an array of plain numbers that lie in this file.
      TooLargeError: the file inflates beyond the limit.
    """

    def __init__(self, file: h5py.File, size: int):
        self._file, self._size, self._inflated = file, size, 0

    def __contains__(self, name: str) -> bool:
        return self._file.get(name, getlink=True) is not None

    def item(self, name: str) -> Any:
        """A dataset that may be read, or a group; None where there is none, or it lies in another file."""
        return self._checked(self._file.get(name), name)

    def referred(self, reference: h5py.Reference) -> Any:
        """What a reference leads to, as `item`."""
        return self._checked(self._file[reference], "what a cell refers to")

    def _checked(self, found: Any, name: str) -> Any:
        """What was found, once what it inflates to with all others so far is within the limit."""
        if found is not None and found.file.filename != self._file.filename:
            raise ValueError(f"{shorten(name)} lies in another file, which is not read")
        if isinstance(found, h5py.Dataset):
            self._check(found, shorten(name))
        return found

    def _check(self, dataset: h5py.Dataset, name: str) -> None:
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"{name} lies in other files, which are not read")
        if dataset.shape is None:
            raise ValueError(f"{name} has no shape")
        is_reference = h5py.check_ref_dtype(dataset.dtype) is h5py.Reference
        if not is_reference and dataset.dtype.kind not in _KINDS:
            raise ValueError(f"{name} is of {shorten(dataset.dtype)}, which is not a plain number")
        held, claimed = dataset.id.get_storage_size(), dataset.nbytes
        if claimed and not held:
            raise ValueError(f"{name} is declared as {_shape(dataset)} and was never written")
        if dataset.chunks is None and claimed > held:
            raise ValueError(f"{name} claims {_shape(dataset)}, more than the {held:,} bytes it holds")
        chunk = (
            math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        )  # read whole, whatever is wanted of it
        self._inflated += max(claimed, chunk)
        check_inflation(self._size, self._inflated, name)


@contextlib.contextmanager
def open_hdf5(path: pathlib.Path) -> Iterator[Hdf5File]:
    """Opens a file.

    Raises:
      TooLargeError: it inflates beyond the limit.
      ValueError: it is not such a file, is damaged, or a dataset can't be read; also later.
    """
    try:
        with h5py.File(path) as file:
            yield Hdf5File(file, path.stat().st_size)
    except TooLargeError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError) as error:  # h5py has no class of its own
        raise ValueError(first_line(error)) from error


def _shape(dataset: h5py.Dataset) -> str:
    return f"{dataset.dtype} {shorten(list(dataset.shape))}"
