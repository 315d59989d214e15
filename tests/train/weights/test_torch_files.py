"""Files of torch.save: both formats, strides, shared storages, and everything that is refused without being run."""

import collections
import datetime
import os
import pickle
import sys
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.torch_archives import Storage, Tensor, pickled, save, save_legacy, stand_in_modules
from train import inflation
from train.inflation import TooLargeError
from train.weights.torch_files import read_torch

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RNG.normal(size=(2, 3, 1, 4)).astype(np.float32),
    "conv.bias": RNG.normal(size=2),
    "half": RNG.normal(size=(3, 2)).astype(np.float16),
    "brain": RNG.normal(size=5).astype(jnp.bfloat16),
    "steps": np.array(2**40),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "mask": np.array([True, False]),
}


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    for name, module in stand_in_modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def state_dict(arrays=ARRAYS, parameter=False):
    tensors = {name: Tensor.of(str(i), array, parameter) for i, (name, array) in enumerate(arrays.items())}
    return collections.OrderedDict(tensors)


def same(found, arrays=ARRAYS):
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives(tmp_path, protocol, compression):
    same(read_torch(save(tmp_path / "a.pth", state_dict(), protocol, compression)))


def test_the_older_format(tmp_path):
    same(read_torch(save_legacy(tmp_path / "a.pth", state_dict())))


def test_what_training_scripts_save(tmp_path):
    """Module versions as an attribute, parameters, a plain dictionary, a state dict beside other things."""
    with_versions = state_dict()
    with_versions._metadata = collections.OrderedDict({"": {"version": 1}, "conv": {"version": 2}})
    same(read_torch(save(tmp_path / "a.pth", with_versions)))
    same(read_torch(save(tmp_path / "b.pth", dict(state_dict(parameter=True)))))
    run = {"epoch": 3, "state_dict": state_dict(), "args": [1.5, None, ("x", True)], "big": -(2**70)}
    same(read_torch(save(tmp_path / "c.pth", run)))
    same(read_torch(save(tmp_path / "d.pth", {**state_dict(), "epoch": 3})))


def test_views_of_one_storage(tmp_path):
    numbers = Storage("0", np.arange(24.0))
    views = {
        "transposed": Tensor(numbers, 0, (3, 8), (1, 3)),
        "part": Tensor(numbers, 5, (2, 3), (8, 2)),
        "number": Tensor(numbers, 23, (), ()),
        "repeated": Tensor(numbers, 2, (3, 2), (0, 1)),
        "nothing": Tensor(numbers, 0, (0, 4), (4, 1)),
    }
    found = read_torch(save(tmp_path / "a.pth", views))
    whole = np.arange(24.0)
    expected = {
        "transposed": whole.reshape(8, 3).T,
        "part": whole[5:21].reshape(2, 8)[:, 0:6:2],
        "number": whole[23],
        "repeated": np.tile(whole[2:4], (3, 1)),
        "nothing": np.empty((0, 4)),
    }
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.c_contiguous
    found["part"][:] = 0
    assert found["transposed"][2, 1] == 5


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("writer", [save, save_legacy])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, writer):
    mark = tmp_path / "it was run"
    path = writer(tmp_path / "a.pth", {"w": Malicious(os.system, f"touch '{mark}'")})
    with pytest.raises(ValueError, match=r"it asks for posix\.system.*nothing of it was run"):
        read_torch(path)
    assert not mark.exists()
    with zipfile.ZipFile(path, "w") as archive:  # the file does what it threatens where pickle reads it
        archive.writestr("data.pkl", pickle.dumps(Malicious(mark.write_text, "")))
    with pytest.raises(ValueError, match=r"it asks for "):
        read_torch(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (datetime.date(2020, 1, 1), r"datetime\.date"),
        (Malicious(eval, "1"), r"builtins\.eval|__builtin__\.eval"),
        (np.float64(3), r"numpy\._core\.multiarray\.scalar"),
    ],
)
def test_other_objects_are_refused_by_name(tmp_path, value, name):
    for protocol in (2, 4):
        with pytest.raises(ValueError, match=f"asks for ({name})"):
            read_torch(save(tmp_path / "a.pth", {"w": value}, protocol))


@pytest.mark.parametrize(
    ("offset", "size", "stride", "problem"),
    [
        (0, (5, 5), (5, 1), "reaches to element 24 of a storage of 24"),
        (24, (1,), (1,), "reaches to element 24"),
        (0, (10**12,), (0,), "has 1000000000000 elements in a storage of 24"),
        (0, (1, 1, 5**9), (0, 0, 0), "has 1953125 elements"),
    ],
)
def test_views_beyond_their_storage(tmp_path, offset, size, stride, problem):
    tensor = Tensor(Storage("0", np.arange(24.0)), offset, size, stride)
    with pytest.raises(ValueError, match=f"tensor 'w' {problem}"):
        read_torch(save(tmp_path / "a.pth", {"w": tensor}))


NESTED: tuple = (1,)
for _ in range(40):
    NESTED = (NESTED, NESTED)  # shown, compared or hashed, it is of 2^40 numbers


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (-1, (2,), (1,)),
        (4, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (0, NESTED, (1,)),
        (0, (1, 2), NESTED),
        (NESTED, (1,), (1,)),
        (0, "ab", (1, 1)),
        (0, (1,) * 1000, (1,) * 1000),
        (2**200, (1,), (1,)),
        (0, (2**63, 0), (1, 1)),
    ],
    ids=map(str, range(12)),
)
def test_sizes_that_are_no_sizes(tmp_path, offset, size, stride):
    tensor = Tensor(Storage("0", np.arange(24.0)), offset, size, stride)
    with pytest.raises(ValueError, match="size, stride or offset that is not a list") as caught:
        read_torch(save(tmp_path / "a.pth", {"w": tensor}))
    assert len(str(caught.value)) < 300


def test_a_tuple_without_end_is_no_key_and_no_storage(tmp_path):
    for value in (NESTED, {"state_dict": NESTED}, {"w": NESTED}, [NESTED] * 10, {1: NESTED}):
        with pytest.raises(ValueError, match="no dictionary of tensors"):
            read_torch(save(tmp_path / "a.pth", value))
    content = save_legacy(tmp_path / "a.pth", state_dict()).read_bytes()
    keys = pickle.dumps(sorted(pickled(state_dict(), legacy=True)[1]), 2)
    assert keys in content
    for wrong in (pickle.dumps(NESTED, 2), pickle.dumps([NESTED], 2), pickle.dumps(3, 2)):
        (tmp_path / "a.pth").write_bytes(content.replace(keys, wrong))
        with pytest.raises(ValueError, match="list of storages is malformed"):
            read_torch(tmp_path / "a.pth")


def test_many_tensors_of_one_storage_are_not_copied_without_asking(tmp_path, monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 1)
    storage = Storage("0", np.zeros(10**5))
    tensors = {f"w{i}": Tensor(storage, 0, (10**5,), (1,)) for i in range(200)}
    with pytest.raises(TooLargeError, match=r"inflate to 8\d,\d00,000 with array w10"):
        read_torch(save(tmp_path / "a.pth", tensors))


def test_long_names_are_cut_in_messages(tmp_path):
    long = "n" * 10**6
    tensor = Tensor(Storage("0", np.arange(24.0)), 30, (1,), (1,))
    with pytest.raises(ValueError, match="reaches to element 30") as caught:
        read_torch(save(tmp_path / "a.pth", {long: tensor}))
    assert len(str(caught.value)) < 300


def test_a_pickle_of_many_marks_takes_no_longer_than_it_is(tmp_path):
    data = b"\x80\x02" + b"(" * 60_000 + b"t" * 60_000 + b"."
    with pytest.raises(ValueError, match="no dictionary of tensors"):
        read_torch(save(tmp_path / "a.pth", {}, **{"data.pkl": data}))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"data/0": None}, "data/0"),
        ({"data/0": b"short"}, "storage 0 has 5 bytes"),
        ({"data.pkl": None}, "0 files data.pkl"),
        ({"data.pkl": b""}, "no end|exhausted"),
        ({"data.pkl": pickle.dumps([1, 2], 2)}, "no dictionary of tensors"),
        ({"data.pkl": pickle.dumps({"epoch": 1}, 2)}, "no dictionary of tensors"),
        ({"data.pkl": b"\x80\x02}q\x00u."}, "malformed"),
        ({"data.pkl": b"\x80\x02)R."}, "malformed"),
        ({"data.pkl": b"\x80\x02h\x07."}, "malformed"),
        ({"data.pkl": b"\x80\x02}))s."}, "malformed"),
        ({"data.pkl": b"\x80\x02)Q."}, "malformed|unpack"),
        ({"data.pkl": b"I1\n."}, "opcode INT"),
        ({"byteorder": b"big"}, "big-endian"),
    ],
)
def test_damaged_archives(tmp_path, members, problem):
    path = save(tmp_path / "a.pth", {"w": Tensor.of("0", np.arange(3.0))}, **members)
    with pytest.raises((ValueError, KeyError), match=problem):
        read_torch(path)


def test_damaged_older_files(tmp_path):
    path = save_legacy(tmp_path / "a.pth", state_dict())
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises((ValueError, KeyError)):
            read_torch(path)
    path.write_bytes(b"not a file of torch")
    with pytest.raises(ValueError, match="neither a zip archive nor the older format"):
        read_torch(path)
    with pytest.raises(ValueError, match="big-endian"):
        read_torch(save_legacy(path, state_dict(), little_endian=False))
