"""Files as `torch.save` writes them, made without torch: its pickles name modules that stand in for torch's."""

import collections
import io
import pickle
import sys
import types
import zipfile
from dataclasses import dataclass

import numpy as np

TYPES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclass(eq=False)
class Storage:
    """Numbers of a tensor."""

    key: str
    numbers: np.ndarray


@dataclass(eq=False)
class Tensor:
    """A view of a storage; `parameter` as `torch.nn.Parameter` pickles itself."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    parameter: bool = False

    @classmethod
    def of(cls, key, array, parameter=False):
        strides = tuple(n // array.itemsize for n in array.copy().strides)
        return cls(Storage(key, array.ravel()), 0, array.shape, strides, parameter)

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        if self.parameter:
            plain = Tensor(self.storage, self.offset, self.size, self.stride)
            return utils._rebuild_parameter, (plain, True, collections.OrderedDict())
        hooks = collections.OrderedDict()
        return utils._rebuild_tensor_v2, (self.storage, self.offset, self.size, self.stride, False, hooks)


def stand_in_modules():
    """name -> module, for `sys.modules`."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in TYPES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    return {"torch": torch, "torch._utils": utils}


def pickled(value, protocol=2, legacy=False):
    """(bytes, storages in the order in which they occurred)."""
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Storage):
                return None
            storages[thing.key] = thing
            kind = getattr(sys.modules["torch"], TYPES[thing.numbers.dtype.name])
            whole = ("storage", kind, thing.key, "cpu", len(thing.numbers))
            return (*whole, None) if legacy else whole

    with io.BytesIO() as stream:
        Pickler(stream, protocol).dump(value)
        return stream.getvalue(), storages


def save(path, value, protocol=2, compression=zipfile.ZIP_STORED, **extra):
    """The zip archive of torch 1.6 and later; `extra` replaces or adds members."""
    data, storages = pickled(value, protocol)
    members = {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}
    members |= {f"data/{key}": storage.numbers.tobytes() for key, storage in storages.items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | extra).items():
            if content is not None:
                archive.writestr(f"archive/{name}", content)
    return path


def save_legacy(path, value, little_endian=True):
    """The format before torch 1.6."""
    data, storages = pickled(value, legacy=True)
    keys = sorted(storages)
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    parts = [pickle.dumps(thing, 2) for thing in (0x1950A86A20F9469CFC6C, 1001, machine)]
    parts += [data, pickle.dumps(keys, 2)]
    for key in keys:
        numbers = storages[key].numbers
        parts += [len(numbers).to_bytes(8, "little"), numbers.tobytes()]
    path.write_bytes(b"".join(parts))
    return path
