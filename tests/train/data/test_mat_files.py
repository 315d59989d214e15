"""MATLAB files that claim or inflate to what they should not, and all forms that they should have."""

import struct
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from train import inflation
from train.data.mat_files import read_mat
from train.data.xlsa17 import read_xlsa17
from train.errors import UserError
from train.inflation import TooLargeError


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 2)


def cells(*things) -> np.ndarray:
    row = np.empty((1, len(things)), object)
    row[0] = things
    return row


VARIABLES = {
    "numbers": np.arange(24.0).reshape(4, 6),
    "few": np.int8([[1, 2, 3]]),
    "text": "hello",
    "cells": cells(np.arange(3), "text", np.zeros((0, 5)), cells(cells(1j * np.ones((2, 2))))),
    "record": {"x": 1, "y": {"z": cells(np.array(["ab", "cd"]))}},
    "complex": np.ones((3, 3)) + 1j,
    "nothing": np.zeros((0, 0)),
    "logical": np.array([[True, False]]),
    "three": np.ones((2, 3, 4), np.float32),
    "sparse": scipy.sparse.csc_matrix(([1.0], ([0], [0])), (10**6, 2)),
}
OLD = ("numbers", "text", "complex", "nothing", "sparse")


@pytest.mark.filterwarnings("ignore:The default value for `spmatrix`:DeprecationWarning")  # of SciPy 1.18
@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_every_form_is_read_as_scipy_reads_it(tmp_path, options):
    path, names = tmp_path / "a.mat", OLD if "format" in options else tuple(VARIABLES)
    scipy.io.savemat(path, {name: VARIABLES[name] for name in names}, **options)
    found, wanted = read_mat(path, [*names, "absent"]), scipy.io.loadmat(path)
    assert tuple(found) == names
    assert all(repr(found[name]) == repr(wanted[name]) for name in names)


def element(kind, content, size=None) -> bytes:
    padding = b"" if kind == 15 else bytes(-len(content) % 8)
    return struct.pack("<II", kind, len(content) if size is None else size) + content + padding


def matrix(kind=6, axes=(1, 3), *parts, name=b"x") -> bytes:
    """The content of an array: flags, shape, name, parts."""
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(axes)}i", *axes))
    return b"".join([head, element(1, name), *parts])


def packed(content) -> bytes:
    return element(15, zlib.compress(content))


NUMBERS = element(9, np.arange(3.0).tobytes())
GIGABYTES = 2**32 - 8


def nested(depth) -> bytes:
    inner = element(14, matrix(6, (1, 3), NUMBERS))
    for _ in range(depth):
        inner = element(14, matrix(1, (1, 1), inner))
    return inner


CLAIMS = {
    "an array": (
        element(14, matrix(6, (1, 3), NUMBERS), GIGABYTES),
        "claims 4,294,967,288 bytes, more than the file",
    ),
    "numbers": (
        element(14, matrix(6, (1, 3), element(9, b"", GIGABYTES))),
        "claims 4,294,967,288 bytes of the 0",
    ),
    "packed numbers": (packed(element(14, matrix(6, (1, 3), element(9, b"", GIGABYTES)))), "bytes of the 0"),
    "packed bytes": (
        element(15, zlib.compress(element(14, matrix())), GIGABYTES),
        "more than the file holds",
    ),
    "a name": (element(14, matrix(6, (1, 3))[:32] + struct.pack("<II", 1, GIGABYTES)), "bytes of the 0"),
    "axes": (element(14, matrix()[:16] + struct.pack("<II", 5, 10**6) + bytes(10**6)), "too many axes"),
    "cells": (element(14, matrix(1, (2**30, 2**30))), "claims the shape [1073741824, 1073741824]"),
    "a record": (element(14, matrix(2, (2**31 - 1, 1))), "claims the shape [2147483647, 1]"),
    "characters": (element(14, matrix(4, (1, 2**30), element(4, b"ab"))), "claims the shape [1, 1073741824]"),
    "a negative axis": (element(14, matrix(6, (-2, -3), NUMBERS)), "claims the shape [-2, -3]"),
    "nested": (nested(10_000), "nested too deeply"),
    "ends early": (packed(element(14, matrix(6, (1, 3), NUMBERS))[:30]), "ends early"),
}


@pytest.mark.parametrize(("content", "problem"), CLAIMS.values(), ids=CLAIMS)
def test_sizes_that_are_not_there(tmp_path, content, problem):
    (tmp_path / "res101.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + content)
    with pytest.raises(ValueError) as caught:
        read_mat(tmp_path / "res101.mat", ["x"])
    assert problem in str(caught.value)
    with pytest.raises(UserError, match=r"^--data.path = .*res101.mat: the MATLAB file can't be read \("):
        read_xlsa17(tmp_path)


def old(form=0, rows=1, columns=3, imaginary=0, name=2) -> bytes:
    return struct.pack("<5i", form, rows, columns, imaginary, name) + b"x\0" + np.arange(3.0).tobytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (old(rows=2**31 - 1), "claims 51,539,607,530 bytes, more than the file holds"),
        (old(imaginary=1), "claims 50 bytes"),
        (old(name=2**31 - 1), "more than the file holds"),
        (old(columns=-3), "a header that makes no sense"),
        (old(form=90), "a header that makes no sense"),
        (old() + old()[:9], "more than the file holds"),
    ],
)
def test_sizes_of_version_4_that_are_not_there(tmp_path, content, problem):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=problem):
        read_mat(tmp_path / "a.mat", ["x"])
    (tmp_path / "a.mat").write_bytes(old())
    assert read_mat(tmp_path / "a.mat", ["x"])["x"].tolist() == [[0, 1, 2]]


def test_what_inflates_needs_the_flag(tmp_path):
    scipy.io.savemat(tmp_path / "res101.mat", {"features": np.zeros((600, 500))}, do_compression=True)
    with pytest.raises(TooLargeError, match=r"bytes inflate to 2,400,\d\d\d with array number 1"):
        read_mat(tmp_path / "res101.mat", ["features"])
    with pytest.raises(UserError, match=r"^--data.path = .*; if it is meant so, give --max-inflated-mb 3$"):
        read_xlsa17(tmp_path)
    inflation.allow_inflated(3)
    assert not read_mat(tmp_path / "res101.mat", ["features"])["features"].any()
