"""Weights by name in each kind of file, there and back; damaged and foreign files are one clear error."""

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.torch_archives import Tensor, save, stand_in_modules
from train.errors import UserError
from train.weight_files import read_state_dict, read_weights, write_state_dict

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv0/kernel": RNG.normal(size=(3, 3, 2, 4)).astype(np.float32),
    "file": RNG.normal(size=(2, 5)).T,
    "half": RNG.normal(size=3).astype(np.float16),
    "count": np.array(7),
    "mask": np.array([[True, False]]),
    "none": np.empty((0, 3), np.uint8),
    "big-endian": np.arange(3, dtype=">i4"),
}


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_there_and_back(tmp_path, ending):
    path = write_state_dict(tmp_path / f"new folder/weights{ending}", ARRAYS)
    found = read_state_dict(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].shape == array.shape
        assert found[name].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


def test_bfloat16(tmp_path):
    array = RNG.normal(size=(2, 3)).astype(jnp.bfloat16)
    for ending, kind in ((".npz", np.float32), (".safetensors", jnp.bfloat16)):
        found = read_state_dict(write_state_dict(tmp_path / f"a{ending}", {"w": array}))["w"]
        assert found.dtype == kind
        np.testing.assert_array_equal(found.astype(np.float32), array.astype(np.float32))


def test_safetensors_by_hand(tmp_path):
    """A header with notes and spaces, arrays in an order of their own."""
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "I64", "shape": [2], "data_offsets": [4, 20]},
        "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode() + b"   "
    numbers = b"\x80\x3f\x00\xc0" + np.array([5, -6]).tobytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    found = read_state_dict(path)
    np.testing.assert_array_equal(found["a"].astype(np.float32), [[1.0, -2.0]])
    np.testing.assert_array_equal(found["b"], [5, -6])


def test_torch_files(tmp_path, monkeypatch):
    for name, module in stand_in_modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    array = RNG.normal(size=(2, 3))
    for ending in ("pth", "pt"):
        path = save(tmp_path / f"net.{ending}", {"w": Tensor.of("0", array)})
        np.testing.assert_array_equal(read_state_dict(str(path))["w"], array)
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"net\.pt: not a readable \.pt file"):
            read_state_dict(path)


def write(path, header, numbers=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}, "outside the file"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}, "not as its shape"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}, "outside"),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}, "malformed"),
        ({"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}, "malformed"),
        ({"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}, "malformed"),
        ({"dtype": "F32", "shape": [2]}, "malformed"),
        (3, "malformed"),
    ],
)
def test_wrong_entries_of_safetensors(tmp_path, entry, problem):
    with pytest.raises(UserError, match=problem):
        read_state_dict(write(tmp_path / "w.safetensors", {"w": entry}))


def test_damaged_files(tmp_path):
    for header, problem in ((b"{", "Expecting"), (b"[1]", "no dictionary"), (b"\xff", "decode")):
        with pytest.raises(UserError, match=problem):
            read_state_dict(write(tmp_path / "w.safetensors", header))
    for ending in (".npz", ".safetensors"):
        path = write_state_dict(tmp_path / f"w{ending}", ARRAYS)
        content = path.read_bytes()
        for length in (0, 4, 30, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(UserError, match="not a readable"):
                read_state_dict(path)


def test_objects_are_neither_read_nor_written(tmp_path):
    path = tmp_path / "w.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="a single array without a name"):
        read_state_dict(path)
    np.savez(path, w=np.array([{}, None], object))
    with pytest.raises(UserError, match="Python objects, which are never read"):
        read_state_dict(path)
    with pytest.raises(UserError, match="array 'w' is <U1; give arrays of F64"):
        write_state_dict(path, {"w": np.array(["a"])})


def test_wrong_paths(tmp_path):
    with pytest.raises(UserError, match=r"unknown kind of file; give one that ends in \.npz"):
        read_state_dict(tmp_path / "w.h5")
    with pytest.raises(UserError, match=r"ends in \.npz, \.safetensors"):
        write_state_dict(tmp_path / "w.pth", ARRAYS)
    with pytest.raises(UserError, match="no such file"):
        read_state_dict(tmp_path / "w.npz")
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        read_state_dict(tmp_path / "folder.pt")


ENTRY = b'{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
LATER = ENTRY.replace(b"[0, 8]", b"[8, 16]")
UNFIT = {
    "nan": (np.array([1, np.nan], np.float32), r"holds nan, which is no finite number in float32 .1 of 2"),
    "infinity": (np.array(-np.inf), r"holds -inf, which is no finite number"),
    "too large": (np.array([1e300, 1.0]), r"holds 1e\+300, which is no finite number in float32"),
    "complex": (np.array([1j]), "is complex128"),
    "text": (np.array(["a"]), "is <U1"),
    "bytes": (np.array([b"abc"]), "is |S3"),
    "bool": (np.array([True]), "is bool"),
    "times": (np.array(["2020-01-01"], "datetime64[D]"), "is datetime64"),
}


@pytest.mark.parametrize(("array", "problem"), UNFIT.values(), ids=UNFIT)
def test_weights_are_finite_numbers(tmp_path, array, problem):
    path = tmp_path / "w.npz"
    np.savez(path, good=np.arange(3), bad=array)
    with pytest.raises(UserError, match=rf"^--weights = .*w\.npz: array 'bad' {problem}"):
        read_weights(path, "--weights")


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_weights_of_wrapped_modules_lose_the_wrapper(tmp_path, ending):
    arrays = {"a.module.weight": np.arange(3.0), "b.bias": np.arange(2)}
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."):
        write_state_dict(tmp_path / f"w{ending}", {prefix + name: a for name, a in arrays.items()})
        assert set(read_weights(tmp_path / f"w{ending}")) == set(arrays)
    write_state_dict(tmp_path / f"w{ending}", {"module.a": np.arange(3.0), "b": np.arange(2)})
    assert set(read_weights(tmp_path / f"w{ending}")) == {"module.a", "b"}


HEADERS = {
    "nested": (b"[" * 10**5, "nested too deeply"),
    "longer than the file": (None, "ends within its header"),
    "overlapping": (b'{"a": A, "b": A}'.replace(b"A", ENTRY), "overlap or leave a gap at byte 0"),
    "twice": (b'{"a": A, "a": B}'.replace(b"A", ENTRY).replace(b"B", LATER), "has the key 'a' twice"),
    "NaN": (b'{"a": %s}' % ENTRY.replace(b"[0, 8]", b"[NaN, 8]"), "entry of 'a' is malformed"),
    "a long shape": (b'{"a": %s}' % ENTRY.replace(b"[2]", b"[" + b"1," * 9999 + b"2]"), "is malformed"),
    "numbers without end": (b'{"a": %s}' % ENTRY.replace(b"[2]", b"[%s]" % (b"9" * 4000)), "is malformed"),
    "numbers beyond Python's": (b'{"a": %s}' % ENTRY.replace(b"[2]", b"[%s]" % (b"9" * 5000)), "digits"),
    "not all": (b'{"a": %s}' % ENTRY, "8 bytes of it belong to no array"),
    "names without end": (b'{"%s": 3}' % (b"n" * 10**5), "entry of 'nnn"),
}


@pytest.mark.parametrize(("header", "problem"), HEADERS.values(), ids=HEADERS)
def test_headers_of_safetensors(tmp_path, header, problem):
    length = (2**60 if header is None else len(header)).to_bytes(8, "little")
    (tmp_path / "w.safetensors").write_bytes(length + (header or b"") + bytes(16))
    with pytest.raises(UserError, match=problem) as caught:
        read_state_dict(tmp_path / "w.safetensors")
    assert len(caught.value.problem) < 400
