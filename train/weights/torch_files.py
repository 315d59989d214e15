"""Tensors of files of `torch.save`, read without torch and without running anything that the file asks for.

Such a file is a pickle, and unpickling calls whatever functions the pickle names. Here its opcodes are walked by a
machine that knows only those of a dictionary of tensors, takes a short list of names as inert marks, and calls nothing.
A subclass of `pickle.Unpickler` with a list of allowed names would be shorter but is less safe: ten bytes make its
memo a gigabyte, and tuples that nest in a key take forever to hash, both before any check of ours.
"""

import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from train.errors import shorten
from train.inflation import check_inflation

_DTYPES = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": jnp.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}
_DICT, _TENSOR = "collections.OrderedDict", "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_KNOWN = {_DICT, _TENSOR, _PARAMETER, *_DTYPES}

_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_VALUES |= {"BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"}  # the last two are texts of Python 2
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_MOST_AXES = 32
_LARGEST_PICKLE = 16 * 2**20
_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


@dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names."""

    path: str


@dataclass(frozen=True)
class _Storage:
    """A run of numbers somewhere else in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage, in elements."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name; one below the key "state_dict" is found as well.

    Both formats are read, the zip archives of torch 1.6 and later and the older one. What else a dictionary holds,
    such as an epoch, is left out.

    Raises:
      ValueError: the file is damaged, holds no tensors by name, or names anything but the parts of a tensor.
    """
    length = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, length)
    with path.open("rb") as stream:
        return _read_legacy(stream, length)


def _read_archive(archive: zipfile.ZipFile, length: int) -> dict[str, np.ndarray]:
    check_inflation(length, sum(member.file_size for member in archive.infolist()), "data")
    pickles = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError(f"it holds {len(pickles)} files data.pkl, not one")
    if archive.getinfo(pickles[0]).file_size > _LARGEST_PICKLE:
        raise ValueError("its pickle is larger than that of any dictionary of tensors")
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its numbers are big-endian")
    with archive.open(pickles[0]) as stream:
        tensors = _tensors(_unpickle(stream))

    def load(storage: _Storage) -> np.ndarray:
        member = archive.getinfo(f"{folder}data/{storage.key}")
        if member.file_size != storage.count * storage.dtype.itemsize:
            raise ValueError(
                f"storage {shorten(storage.key)} has {member.file_size} bytes, not those it announces"
            )
        return np.frombuffer(archive.read(member), storage.dtype)

    return _arrays(tensors, load, length)


def _read_legacy(stream: IO[bytes], length: int) -> dict[str, np.ndarray]:
    """Five pickles (magic number, version, machine, the object, the storages' keys), then count and bytes of each."""
    try:
        magic = _unpickle(stream)
    except ValueError:
        magic = None
    if magic != _LEGACY_MAGIC or _unpickle(stream) != _LEGACY_VERSION:
        raise ValueError("it is neither a zip archive nor the older format of torch.save")
    machine = _unpickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    tensors, keys = _tensors(_unpickle(stream)), _unpickle(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("its list of storages is malformed")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    stored = {}
    for key in keys:
        if key not in dtypes:
            raise ValueError(f"storage {shorten(key)} belongs to no tensor of the dictionary")
        count = int.from_bytes(stream.read(8), "little")
        size = count * dtypes[key].itemsize
        if stream.tell() + size > length:
            raise ValueError(f"it ends within storage {shorten(key)}")
        stored[key] = np.frombuffer(stream.read(size), dtypes[key])
    return _arrays(tensors, lambda storage: stored[storage.key], length)


def _tensors(found: Any) -> dict[str, _Tensor]:
    """The entries of a dictionary that are tensors."""
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    entries = found.items() if isinstance(found, dict) else ()
    tensors = {name: value for name, value in entries if isinstance(name, str) and isinstance(value, _Tensor)}
    if not tensors:
        raise ValueError("it holds no dictionary of tensors by name")
    return tensors


def _arrays(
    tensors: dict[str, _Tensor], load: Callable[[_Storage], np.ndarray], length: int
) -> dict[str, np.ndarray]:
    """Every tensor as a contiguous array of its own; a storage that several share is loaded once."""
    loaded: dict[_Storage, np.ndarray] = {}
    total = 0
    for name, tensor in tensors.items():
        if tensor.storage not in loaded:
            loaded[tensor.storage] = load(tensor.storage)
        _check_view(tensor, name, len(loaded[tensor.storage]))
        total += math.prod(tensor.size) * tensor.storage.dtype.itemsize
        check_inflation(length, total, name)  # any number of tensors may be of one storage
    return {name: _view(tensor, loaded[tensor.storage]).copy() for name, tensor in tensors.items()}


def _check_view(tensor: _Tensor, name: str, held: int) -> None:
    """Raises ValueError where a tensor is of more numbers than its storage has."""
    count = math.prod(tensor.size)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    if count and last >= held:
        raise ValueError(f"tensor {shorten(name)!r} reaches to element {last} of a storage of {held}")
    if count > held:  # a stride of 0 would make any size of a single number
        raise ValueError(f"tensor {shorten(name)!r} has {shorten(count)} elements in a storage of {held}")


def _view(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    if not math.prod(tensor.size):
        return np.empty(tensor.size, numbers.dtype)
    strides = [
        step * numbers.itemsize if n > 1 else 0 for n, step in zip(tensor.size, tensor.stride, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.size, strides)


# The machine ------------------------------------------------------------------------------------------------


def _unpickle(stream: IO[bytes]) -> Any:
    """The object of the pickle at the stream's position; what isn't plain data is a `_Tensor`, `_Storage` or `_Name`.

    Raises:
      ValueError: an opcode or a name that a dictionary of tensors does not need, or a malformed pickle.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return stack.pop()
            _execute(opcode.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"its pickle is malformed ({type(error).__name__})") from error
    raise ValueError("its pickle has no end")


def _execute(opcode: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One opcode of https://docs.python.org/3/library/pickletools.html, on plain data."""
    match opcode:
        case "PROTO" | "FRAME":
            pass
        case _ if opcode in _VALUES:
            stack.append(argument)
        case _ if opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "MARK":
            stack.append(_MARK)
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case _ if opcode in _TUPLES:
            stack[-_TUPLES[opcode] :] = [tuple(stack[-_TUPLES[opcode] :])]
        case "APPEND" | "APPENDS":
            items = _since_mark(stack) if opcode == "APPENDS" else [stack.pop()]
            _top(stack, list).extend(items)
        case "SETITEM" | "SETITEMS":
            items = _since_mark(stack) if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _set_items(_top(stack, dict), items)
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "GLOBAL":
            stack.append(_name(argument.replace(" ", ".", 1)))
        case "STACK_GLOBAL":
            stack[-2:] = [_name(".".join(stack[-2:]))]
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE":
            stack[-2:] = [_build(*stack[-2:])]
        case "BUILD":
            stack.pop()  # attributes of a dictionary: torch keeps versions of modules there
            _top(stack, dict)
        case _:
            raise ValueError(f"its pickle has the opcode {opcode}, which no dictionary of tensors needs")


def _since_mark(stack: list[Any]) -> list[Any]:
    """Takes everything above the last mark, and the mark, off the stack."""
    at = len(stack) - 1
    while stack[at] is not _MARK:  # from the top, where marks are: a scan of all would be quadratic
        at -= 1
        if at < 0:
            raise IndexError
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _top(stack: list[Any], kind: type) -> Any:
    if not isinstance(stack[-1], kind):
        raise TypeError
    return stack[-1]


def _set_items(target: dict, items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):  # the hash of nested tuples can take forever
            raise TypeError
        target[key] = value


def _name(path: str) -> _Name:
    if path not in _KNOWN:
        raise ValueError(
            f"it asks for {shorten(path)}, which is not part of a dictionary of tensors; nothing of it was run"
        )
    return _Name(path)


def _storage(identifier: tuple) -> _Storage:
    """The storage of torch's persistent id ("storage", type, key, device, count, ...)."""
    kind, storage_type, key, _, count, *view = identifier
    if kind != "storage" or not isinstance(key, str) or not _is_length(count) or any(view):
        raise TypeError
    return _Storage(key, np.dtype(_DTYPES[storage_type.path]), count)


def _is_length(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**63


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> _Tensor:
    """A view whose numbers are plain, before anything compares or shows them: tuples may nest without end."""
    if not isinstance(storage, _Storage):
        raise TypeError
    axes = all(isinstance(part, tuple) and len(part) <= _MOST_AXES for part in (size, stride))
    if not axes or len(size) != len(stride) or not all(map(_is_length, (offset, *size, *stride))):
        raise ValueError(
            "a tensor of it has a size, stride or offset that is not a list of whole numbers from 0"
        )
    return _Tensor(storage, offset, size, stride)


def _build(function: Any, arguments: tuple) -> Any:
    """What calling one of the known names would have made."""
    match function:
        case _Name(path) if path == _DICT:
            built: dict = {}
            for pair in arguments[0] if arguments else ():
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise TypeError
                _set_items(built, list(pair))
            return built
        case _Name(path) if path == _TENSOR:
            return _tensor(*arguments[:4])
        case _Name(path) if path == _PARAMETER:
            if isinstance(arguments[0], _Tensor):
                return arguments[0]
    raise TypeError
