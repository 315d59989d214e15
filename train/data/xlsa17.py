"""Benchmarks of generalised zero-shot learning from files: `res101.mat` with `att_splits.mat`, or one npz.

The format of Xian et al. (2018), known as xlsa17. `res101.mat` holds `features` [D, N] and `labels` [N, 1];
`att_splits.mat` holds class attributes [A, C], class names and splits; labels and rows count from 1. An npz holds
the same with one row per image and class, and counts from 0. Every mistake is one clear `UserError`.
"""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from train import npz_files
from train.data.hdf5_files import Hdf5File, open_hdf5
from train.data.mat_files import read_mat
from train.data.zero_shot import ATTRIBUTES, ZeroShotData, check
from train.errors import UserError, first_line
from train.inflation import TooLargeError
from train.regular_files import why_no_file

FEATURES_FILE, SPLITS_FILE = "res101.mat", "att_splits.mat"
ROWS = {"trainval": "trainval_loc", "test_seen": "test_seen_loc", "test_unseen": "test_unseen_loc"}
VALIDATION = ("train_loc", "val_loc")

Path = str | pathlib.Path
RESERVED = ("image", "labels")
_LOG = logging.getLogger(__name__)


def read_xlsa17(folder: Path, attributes: Sequence[str] = ("att",)) -> ZeroShotData:
    """A benchmark from its folder, whose name names the data; MATLAB files of version 4 to 7.3.

    Only what is needed is read, and features are float32 as soon as they are: the largest benchmark (37,322
    images of 2,048 features) takes less than 3 GB.

    Args:
      folder: of `res101.mat` and `att_splits.mat`.
      attributes: kinds of class description, each a matrix [A, C] of `att_splits.mat`, or, as in
        `sent_splits.mat:att`, of another file of the folder. `att` is called `attributes`, all else as it is.

    Raises:
      UserError: a file or a field is missing, damaged or of the wrong shape, or breaks the rules of
        `train.data.zero_shot.check`.
    """
    place = pathlib.Path(folder).expanduser()
    if not place.is_dir():
        raise _bad_path(folder, "no such folder", f"name the folder of {FEATURES_FILE} and {SPLITS_FILE}")
    images = _read_mat(place / FEATURES_FILE, ("features", "labels"))
    features = images.take_matrix("features")
    splits = _read_mat(place / SPLITS_FILE, (*ROWS.values(), *VALIDATION))
    names = _names(_read_mat, place / SPLITS_FILE, "allclasses_names")
    tables, origins = {}, {}
    for name, kind in _kinds(attributes).items():
        file, key = name.rsplit(":", 1) if ":" in name else (SPLITS_FILE, name)
        tables[kind] = _read_mat(place / file, (key,)).take_matrix(key)
        origins[kind] = f"{key!r} of {file}"
    data = _assemble(place.name, features, tables, images, splits, names)
    origins |= {field: f"{field!r} of {FEATURES_FILE}" for field in ("features", "labels")}
    origins |= {field: f"{key!r} of {SPLITS_FILE}" for field, key in ROWS.items()}
    check(data, folder, origins, matlab=True)
    return data


def read_npz(path: Path, features: str = "features", attributes: Sequence[str] = ("att",)) -> ZeroShotData:
    """A benchmark from one file, whose stem names the data.

    It holds features [N, D], `labels` [N], attributes [C, A], the rows `trainval_loc`, `test_seen_loc` and
    `test_unseen_loc`, and perhaps `train_loc` with `val_loc`, and `class_names` [C]; all count from 0.

    Args:
      path: the file.
      features: what it calls the features.
      attributes: what it calls each kind of class description. `att` is called `attributes` here.

    Raises:
      UserError: as `read_xlsa17`.
    """
    kinds = _kinds(attributes)
    place = pathlib.Path(path).expanduser()
    fields = _read_npz(place, (features, *attributes, "labels", *ROWS.values(), *VALIDATION))
    names = _names(_read_npz, place, "class_names")
    table = fields.take_matrix(features)
    tables = {kind: fields.take_matrix(key) for key, kind in kinds.items()}
    data = _assemble(fields.path.stem, table, tables, fields, fields, names)
    origins = {"features": repr(features), **{kind: repr(key) for key, kind in kinds.items()}}
    check(data, path, origins | {field: repr(key) for field, key in ROWS.items()})
    return data


def _kinds(names: Sequence[str]) -> dict[str, str]:
    """What each kind of class description is called here."""
    kinds = {name: ATTRIBUTES if name == "att" else name for name in names}
    if len(set(kinds.values())) < len(names):
        problem = "name one kind of class description twice"
        raise UserError("--data.attributes", " ".join(names), problem, "name each once")
    for kind in set(kinds.values()) & set(RESERVED):
        raise UserError("--data.attributes", kind, "is what the images are called here", "rename that array")
    return kinds


def _assemble(
    name: str,
    features: Float[np.ndarray, "N D"],
    attributes: Mapping[str, Float[np.ndarray, "C A"]],
    images: "_Fields",
    splits: "_Fields",
    class_names: Sequence[str],
) -> ZeroShotData:
    """The benchmark as the files tell it, before it is checked; names that are not one per class are left out."""
    if not attributes:
        raise UserError(
            "--data.attributes", "nothing", "classes need a description", "name one array or more"
        )
    labels = images.whole("labels")
    classes, others = next(iter(attributes.values())).shape
    labelled = int(labels.max(initial=-1)) + 1
    # As many names as columns, or as labels, tell `check` that the matrix is transposed, or too small.
    if len(class_names) not in {classes, others, labelled}:
        if class_names:
            _LOG.warning(
                "%s names %d classes of %d: they go by numbers", splits.path, len(class_names), classes
            )
        class_names = tuple(
            f"class {i + splits.first}" for i in range(others if labelled == others else classes)
        )
    rows = {field: splits.whole(key) for field, key in ROWS.items()}
    validation = _validation_classes(splits, labels)
    return ZeroShotData(
        name, features, labels, attributes, tuple(class_names), **rows, validation_classes=validation
    )


def _validation_classes(splits: "_Fields", labels: Int[np.ndarray, "N"]) -> Int[np.ndarray, "V"]:
    """Classes that occur in `val_loc` and not in `train_loc`; none where the file does not have both."""
    if any(key not in splits.arrays for key in VALIDATION):
        return np.empty(0, np.int32)
    classes = []
    for key in VALIDATION:
        rows = splits.whole(key)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(labels):
            first = splits.first
            problem = f"holds rows outside {first}..{len(labels) - 1 + first} (counted from {first})"
            raise splits.error(key, problem)
        classes.append(labels[rows])
    train, validation = classes
    return np.setdiff1d(validation, train)


@dataclasses.dataclass(frozen=True)
class _Fields:
    """The arrays of a file, one row per image or class, and the number it counts from."""

    path: pathlib.Path
    arrays: dict[str, np.ndarray]
    first: int

    def error(self, key: str, problem: str) -> UserError:
        remedy = "get the files of the benchmark again" if self.first else "write the file anew with np.savez"
        return _bad_path(self.path, f"{key!r} {problem}", remedy)

    def take_matrix(self, key: str) -> Float[np.ndarray, "rows columns"]:
        """The float32 matrix of this name; its original is released."""
        array = self._numbers(key)
        del self.arrays[key]
        if array.ndim != 2:
            raise self.error(key, f"has shape {list(array.shape)} and should be a matrix")
        with np.errstate(over="ignore"):  # what float32 can't hold is infinite, which `check` reports
            return np.ascontiguousarray(array, np.float32)

    def whole(self, key: str) -> Int[np.ndarray, "n"]:
        """The int32 vector of this name, counted from 0."""
        array = self._numbers(key)
        if array.size and array.size != max(array.shape, default=1):
            raise self.error(key, f"has shape {list(array.shape)} and should be a vector")
        values = array.reshape(-1).astype(np.float64)
        if not (np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)).all():
            raise self.error(key, "holds something other than whole numbers")
        return values.astype(np.int32) - np.int32(self.first)

    def _numbers(self, key: str) -> np.ndarray:
        if key not in self.arrays:
            raise self.error(key, "is missing")
        array = self.arrays[key]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise self.error(key, "is not an array of numbers")
        return array


def _names(
    read: Callable[[pathlib.Path, Sequence[str]], _Fields], path: pathlib.Path, key: str
) -> tuple[str, ...]:
    """The texts of this name; () where it has none, or none that can be read: names are for reports only."""
    try:
        cells = np.ravel(read(path, (key,)).arrays.get(key, np.empty(0, object)))
        if cells.dtype.names is not None:  # an object of MATLAB's, such as its strings
            raise ValueError("they are neither a cell array nor characters")
        return tuple("".join(map(str, np.ravel(cell).tolist())).strip() for cell in cells)
    except (UserError, ValueError, TypeError) as error:
        _LOG.warning("no class names: %s of %s: %s", key, path, error)
        return ()


def _read_npz(path: pathlib.Path, keys: Sequence[str]) -> _Fields:
    """Those of the arrays that the file has."""
    _require_file(path)
    return _Fields(path, npz_files.read_npz(path, "--data.path", (), tuple(dict.fromkeys(keys))), first=0)


def _read_mat(path: pathlib.Path, keys: Sequence[str]) -> _Fields:
    """Those of the variables that the file has, transposed: one row per image or class."""
    _require_file(path)
    with _read_errors(path, "the MATLAB file"):
        if h5py.is_hdf5(path):  # version 7.3, whose axes HDF5 shows in reverse
            with open_hdf5(path) as file:
                return _Fields(path, {key: _hdf5_array(file, key) for key in keys if key in file}, first=1)
        found = read_mat(path, keys)
        return _Fields(path, {key: array.T for key, array in found.items()}, first=1)


def _hdf5_array(file: Hdf5File, key: str) -> np.ndarray:
    """A cell array's texts, or numbers: matrices in float32, never in float64."""
    variable = file.item(key)
    if not isinstance(variable, h5py.Dataset):
        return np.empty(0, object)
    kind = variable.attrs.get("MATLAB_class", b"")
    if kind == b"string":  # numbers that refer to a part of the file whose form is not published
        return np.empty(0, object)
    if variable.dtype == h5py.ref_dtype:
        return np.array([_hdf5_text(file.referred(cell)) for cell in np.ravel(variable[()])])
    if kind == b"char":  # a matrix of characters, one text per row
        return np.array([_characters(row) for row in np.atleast_2d(variable[()].T)])
    is_matrix = variable.dtype == np.float64 and min(variable.shape, default=1) > 1
    return (variable.astype(np.float32) if is_matrix else variable)[()]


def _hdf5_text(cell: Any) -> str:
    """A cell's text; none where the cell holds something else."""
    return _characters(cell[()]) if isinstance(cell, h5py.Dataset) else ""


def _characters(codes: Any) -> str:
    """The text of UTF-16 codes."""
    try:
        return "".join(map(chr, np.ravel(codes))).strip()
    except (TypeError, ValueError, OverflowError):
        return ""


def _require_file(path: pathlib.Path) -> None:
    if not path.is_file():
        raise _bad_path(path, why_no_file(path), "check the spelling, or put the file there")


@contextlib.contextmanager
def _read_errors(path: pathlib.Path, what: str) -> Iterator[None]:
    try:
        yield
    except TooLargeError as error:
        raise _bad_path(path, str(error), error.remedy) from error
    except Exception as error:  # each way in which a file is damaged raises a class of its own
        problem = f"{what} can't be read ({first_line(error)})"
        raise _bad_path(path, problem, "get or write the file again") from error


def _bad_path(path: Path, problem: str, remedy: str) -> UserError:
    return UserError("--data.path", path, problem, remedy)
