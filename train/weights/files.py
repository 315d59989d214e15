"""Weights by name, in `.npz`, `.safetensors` or torch's `.pth` and `.pt` files; reading never runs code of the file."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from train.atomic import write_atomically
from train.errors import UserError, first_line, shorten
from train.inflation import TooLargeError
from train.npz_files import read_npz
from train.regular_files import why_no_file
from train.weights.torch_files import read_torch

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
FIELD = "weight file"
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, RuntimeError, MemoryError),
    *(ArithmeticError, zipfile.BadZipFile, zlib.error, safetensors.SafetensorError),
)
_WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")
"""What stands before every name of a module that another wraps, in the order in which it is taken off."""


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file of weights, by name, in the number format of the file.

    Args:
      path: `.npz`; `.safetensors`; or `.pth` and `.pt`, a state dict as `torch.save` writes it.

    Raises:
      UserError: no such file, an unknown ending, a damaged file, or one that holds more than arrays by name.
    """
    file = Path(path).expanduser()
    ending = file.suffix.lower()
    if ending not in _READERS:
        raise _error(path, "an unknown kind of file", f"give one that ends in {', '.join(ENDINGS)}")
    if not file.is_file():
        raise _error(path, why_no_file(file), "check the spelling")
    read, remedy = _READERS[ending]
    try:
        return read(file)
    except TooLargeError as error:
        raise _error(path, str(error), error.remedy) from error
    except _DAMAGE as error:
        raise _error(path, f"not a readable {ending} file ({first_line(error)})", remedy) from error


def read_weights(path: str | Path, field: str = FIELD) -> dict[str, np.ndarray]:
    """The arrays of a file of weights for use in a network: finite numbers by the names of its layers.

    What wrappers put before every name (`module.` of DataParallel, `_orig_mod.` of a compiled module) is taken off.

    Args:
      path: as `read_state_dict`.
      field: what the user named it by.

    Raises:
      UserError: as `read_state_dict`, or an array holds something other than finite numbers of float32.
    """
    try:
        arrays = read_state_dict(path)
    except UserError as error:
        raise UserError(field, path, error.problem, error.remedy) from error
    for name, array in arrays.items():
        if problem := _unfit(array):
            what = f"array {shorten(name)!r} {problem}"
            raise UserError(field, path, what, "give weights whose arrays are finite real numbers")
    for prefix in _WRAPPERS:
        if arrays and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def _unfit(array: np.ndarray) -> str:
    """Why an array can't be weights; nothing where it can."""
    if array.dtype != jnp.bfloat16 and array.dtype.kind not in "iuf":
        return f"is {array.dtype}"
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~np.isfinite(array.astype(np.float32))
    if not wrong.any():
        return ""
    return f"holds {array[wrong][0]}, which is not a finite number in float32 ({wrong.sum():,} of {wrong.size:,})"


def write_state_dict(path: str | Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays by name to a `.npz` or `.safetensors` file, whole or not at all.

    An `.npz` file has no bfloat16: those arrays become float32 there, which holds their values exactly.

    Raises:
      UserError: another ending, a number format that the file lacks, or a place that can't be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise _error(path, "an unknown kind of file", f"give one that ends in {', '.join(_WRITERS)}")
    native = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        dtype = array.dtype.newbyteorder("=")
        if dtype not in _DTYPES.values():
            raise _error(path, f"array {name!r} is {array.dtype}", f"give arrays of {', '.join(_DTYPES)}")
        native[name] = array.astype(dtype, order="C")
    content, remedy = _WRITERS[ending](native), "free space there or name another"
    return write_atomically(Path(path).expanduser(), content, "--out", remedy)


def _error(path: str | Path, problem: str, remedy: str) -> UserError:
    return UserError(FIELD, path, problem, remedy)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, FIELD)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    exact = {
        name: array.astype(np.float32) if array.dtype == jnp.bfloat16 else array
        for name, array in arrays.items()
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in exact.items():  # np.savez takes names that are its own arguments for those
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return stream.getvalue()


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """From the bytes of the file, which can't change underneath as a memory map can.

    The package's own `numpy.load` has no bfloat16.
    """
    arrays = {}
    for name, entry in safetensors.deserialize(path.read_bytes()):
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"array {shorten(name)!r} is {entry['dtype']}, not one of {', '.join(_DTYPES)}")
        arrays[name] = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


_SAVE_AGAIN = "in PyTorch save model.state_dict() alone, or write it as .safetensors"
_READERS = {
    ".npz": (_read_npz, "copy it again, or write it anew with np.savez"),
    ".safetensors": (_read_safetensors, "copy it again"),
    ".pth": (read_torch, _SAVE_AGAIN),
    ".pt": (read_torch, _SAVE_AGAIN),
}
ENDINGS = tuple(_READERS)
"""The endings of files that `read_state_dict` reads."""
_WRITERS = {".npz": _npz, ".safetensors": safetensors.numpy.save}
