"""3D Shapes from the original `3dshapes.h5`, an `.npz` or TFDS; every mistake is one clear `UserError`."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import h5py
import numpy as np

from train import npz_files
from train.data import cache, shapes3d
from train.data.cache import Block, Table
from train.data.source import ArraySource, ProceduralShapes3D, Source
from train.errors import UserError

ROWS_PER_BLOCK = 1024
DEFAULT_CACHE = pathlib.Path("~/.cache/jaxmodels")
H5_REMEDY = "get 3dshapes.h5 again from the storage of google-deepmind/3d-shapes"

Path = str | pathlib.Path


def open_shapes3d(
    source: Literal["procedural", "tfds", "h5", "npz"],
    path: Path | None = None,
    cache_dir: Path = DEFAULT_CACHE,
    count: int = shapes3d.SIZE,
) -> Source:
    """Open a source of 64 x 64 colour images by name.

    Args:
      source: `procedural` renders the scene and reads nothing; `h5` is the original file; `npz` has uint8
        `images` [N, 64, 64, 3] and perhaps integer `factors` [N, F]; `tfds` is the prepared data set
        `shapes3d`.
      path: the file; for `tfds` the data folder, or None for the folder TFDS uses by default.
      cache_dir: where data too large for memory are kept as memory maps after the first reading.
      count: how many rows the complete 3D Shapes has; less than 480,000 in tests only.

    Raises:
      UserError: the source can't be opened, is not what it should be, or can't be cached.
    """
    folder = cache.place(pathlib.Path(cache_dir))
    match source:
        case "procedural":
            if path is not None:
                raise _bad_path(
                    path, "the procedural source reads no file", "leave it out, or name --data.source"
                )
            return ProceduralShapes3D()
        case "tfds":
            return _shapes3d_source(_tfds_table(path, count), folder)
        case "h5":
            return _shapes3d_source(_h5_table(_existing_file(path, source), count), folder)
        case "npz":
            file = _existing_file(path, source)
            return _npz_source(file, cache.load(_npz_table(file), folder))
    raise UserError("--data.source", source, "unknown", "choose procedural, tfds, h5 or npz")


def _bad_path(path: object, problem: str, remedy: str) -> UserError:
    return UserError("--data.path", path, problem, remedy)


def _existing_file(path: Path | None, source: str) -> pathlib.Path:
    if path is None:
        raise _bad_path(path, f"the source {source} reads a file", "name it, or use --data.source procedural")
    file = pathlib.Path(path).expanduser()
    if file.is_dir():
        raise _bad_path(path, "is a folder", f"name the {source} file itself")
    if not file.is_file():
        raise _bad_path(path, "no such file", "check the spelling, or use --data.source procedural")
    return file


def _shapes3d_source(table: Table, cache_dir: pathlib.Path) -> ArraySource:
    arrays = cache.load(table, cache_dir)
    return ArraySource("shapes3d", arrays, shapes3d.FACTOR_NAMES, shapes3d.FACTOR_SIZES)


# The original file ------------------------------------------------------------------------------------------


def _h5_table(path: pathlib.Path, count: int) -> Table:
    shape = (count, *shapes3d.IMAGE_SHAPE)
    with _h5_errors(path), h5py.File(path) as file:
        _h5_dataset(path, file, "images", shape, np.uint8)
        labels = _h5_dataset(path, file, "labels", (count, 6), np.float64)[:]
    # The rank of a value among those that occur: independent of the units the file states its factors in.
    ranks = [np.unique(column, return_inverse=True)[1] for column in labels.T]
    factors = np.stack(ranks, -1).astype(np.int32)
    if not np.array_equal(factors, shapes3d.index_to_factors(np.arange(count))):
        raise _bad_path(path, "its labels are not the factors of 3D Shapes in their order", H5_REMEDY)

    def blocks() -> Iterator[Block]:
        with _h5_errors(path), h5py.File(path) as file:
            images = _h5_dataset(path, file, "images", shape, np.uint8)
            for start in range(0, count, ROWS_PER_BLOCK):
                rows = slice(start, start + ROWS_PER_BLOCK)
                yield Block(start, images[rows], factors[rows])

    return Table(path, shape, factors.shape[1], blocks)


def _h5_dataset(path: pathlib.Path, file: h5py.File, name: str, shape: tuple, dtype: type) -> h5py.Dataset:
    found, wanted = file.get(name), f"{dtype.__name__}{list(shape)}"
    if not isinstance(found, h5py.Dataset):
        raise _bad_path(path, f"has no dataset {name!r}, which should be {wanted}", H5_REMEDY)
    if (found.shape, found.dtype) != (shape, dtype):
        raise _bad_path(
            path, f"dataset {name!r} is {found.dtype}{list(found.shape)}, not {wanted}", H5_REMEDY
        )
    return found


@contextlib.contextmanager
def _h5_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise _bad_path(path, f"not a readable HDF5 file ({_first_line(error)})", H5_REMEDY) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# Files of one's own -----------------------------------------------------------------------------------------


def _npz_source(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> ArraySource:
    if "factors" not in arrays:
        return ArraySource(path.stem, arrays)
    sizes = tuple(int(n) for n in arrays["factors"].max(0) + 1)
    return ArraySource(path.stem, arrays, tuple(f"factor_{i}" for i in range(len(sizes))), sizes)


def _npz_table(path: pathlib.Path) -> Table:
    with npz_files.open_npz(path, "--data.path") as archive:
        shape = _npz_images_shape(path, archive)
        factors = _npz_factors(path, archive, shape[0])

    def blocks() -> Iterator[Block]:
        with npz_files.open_npz(path, "--data.path") as archive:
            start = 0
            for images in archive.blocks("images", ROWS_PER_BLOCK):
                yield Block(start, images, factors[start : start + len(images)])
                start += len(images)

    return Table(path, shape, factors.shape[1], blocks)


def _npz_images_shape(path: pathlib.Path, archive: npz_files.NpzFile) -> tuple[int, ...]:
    if "images" not in archive:
        found = npz_files.listed(archive.names)
        raise _bad_path(
            path, f"has no array 'images' (it holds {found})", "save it with np.savez(path, images=...)"
        )
    shape, fortran_order, dtype = archive.header("images")
    if dtype != np.uint8 or len(shape) != 4 or shape[1:] != shapes3d.IMAGE_SHAPE or fortran_order:
        order = " in Fortran order" if fortran_order else ""
        remedy = "resize to 64 x 64 RGB, convert to bytes, and save np.ascontiguousarray(images)"
        raise _bad_path(path, f"'images' is {dtype}{list(shape)}{order}, not uint8[N, 64, 64, 3]", remedy)
    if shape[0] == 0:
        raise _bad_path(path, "holds no image", "give a file with at least one")
    return shape


def _npz_factors(path: pathlib.Path, archive: npz_files.NpzFile, count: int) -> np.ndarray:
    """The int32 factors of all rows, [N, 0] where the file has none."""
    if "factors" not in archive:
        return np.empty((count, 0), np.int32)
    shape, _, dtype = archive.header("factors")
    well_formed = dtype.kind in "iu" and len(shape) == 2 and shape[0] == count and shape[1] > 0
    if well_formed:
        factors = archive.read("factors")
        if factors.min() >= 0 and factors.max() < 2**31:
            return factors.astype(np.int32)
    problem = f"'factors' is {dtype}{list(shape)}" + (" with numbers out of range" if well_formed else "")
    remedy = "save one column per factor with whole numbers from 0, or leave it out"
    raise _bad_path(path, f"{problem}, not integers [{count}, F]", remedy)


# TFDS -------------------------------------------------------------------------------------------------------


def _tfds_table(path: Path | None, count: int) -> Table:
    data = _open_tfds(path)
    if len(data) == 0:
        raise UserError("--data.source", "tfds", "the prepared shapes3d holds no example", "prepare it again")
    origin = pathlib.Path(data.dataset_info.data_dir)
    blocks = functools.partial(_tfds_blocks, data, complete=len(data) == count)
    return Table(origin, (len(data), *shapes3d.IMAGE_SHAPE), len(shapes3d.FACTOR_NAMES), blocks)


def _open_tfds(path: Path | None) -> Any:
    import tensorflow_datasets as tfds

    folder = None if path is None else pathlib.Path(path).expanduser()
    try:
        return tfds.data_source("shapes3d", split="train", data_dir=folder, download=False)
    except Exception as error:  # TFDS raises a different class for each way in which a folder is not prepared
        raise UserError(
            "--data.source" if path is None else "--data.path",
            "tfds" if path is None else path,
            f"no prepared shapes3d with random access ({_first_line(error)})",
            "prepare it with tfds.builder('shapes3d', data_dir=..., file_format='array_record')"
            ".download_and_prepare() and the extra tfds-prepare, or use --data.source h5 or procedural",
        ) from error


def _tfds_blocks(data: Any, complete: bool) -> Iterator[Block]:
    """One example at a time. TFDS stores them in the order of a hash; a complete set is put back in order."""
    seen = np.zeros(len(data), bool)
    for position in range(len(data)):
        example = data[position]
        factors = np.array([[example[f"label_{name}"] for name in shapes3d.FACTOR_NAMES]], np.int32)
        row = int(shapes3d.factors_to_index(factors)[0]) if complete else position
        if not 0 <= row < len(data) or seen[row]:
            found = f"the factors {factors[0].tolist()} occur twice or out of range"
            raise UserError("--data.source", "tfds", found, "prepare shapes3d again")
        seen[row] = True
        yield Block(row, example["image"][None], factors)
