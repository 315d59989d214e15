"""HDF5 files that claim, inflate or refer to what they should not: nothing of it is read."""

import h5py
import numpy as np
import pytest

from train import inflation
from train.data.files import open_shapes3d
from train.data.hdf5_files import open_hdf5
from train.data.xlsa17 import read_xlsa17
from train.errors import UserError
from train.inflation import TooLargeError

ZEROS = np.zeros((3000, 1000), np.uint8)


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 2)


def chunk_written(file):
    """Declared as a terabyte, of which one chunk is there."""
    file.create_dataset("x", (10**12,), np.uint8, chunks=(100,))[:100] = 1


INFLATING = {
    "a thousandfold": lambda file: file.create_dataset("x", data=ZEROS, compression="gzip"),
    "declared": chunk_written,
    "a chunk beyond the shape": lambda file: file.create_dataset(
        "x", data=np.arange(9), maxshape=(None,), chunks=(10**6,), compression="gzip"
    ),
}


@pytest.mark.parametrize("make", INFLATING.values(), ids=INFLATING)
def test_what_inflates_needs_the_flag(tmp_path, make):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with (
        pytest.raises(TooLargeError, match=r"bytes inflate to [\d,]{9,} with array x"),
        open_hdf5(tmp_path / "a.h5") as file,
    ):
        file.item("x")


def test_what_inflates_in_parts_counts_as_a_whole(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        part = file.create_dataset("x", data=ZEROS[:900], compression="gzip")
        file.create_dataset("cells", data=np.array([part.ref] * 3, object), dtype=h5py.ref_dtype)
    with open_hdf5(tmp_path / "a.h5") as file:
        first, second, _ = file.item("cells")[()]
        assert not file.referred(first)[()].any()
        file.referred(second)
        with pytest.raises(TooLargeError, match=r"inflate to 2,700,024 with array what a cell refers to"):
            file.referred(first)


def elsewhere(file):
    with h5py.File(f"{file.filename}2", "w") as other:
        other["x"] = np.arange(3)
    file["x"] = h5py.ExternalLink(f"{file.filename}2", "x")


def virtual(file):
    layout = h5py.VirtualLayout((3,), np.uint8)
    layout[:] = h5py.VirtualSource(file.filename, "y", (3,))
    file.create_virtual_dataset("x", layout)


REFUSED = {
    "declared and never written": (
        lambda file: file.create_dataset("x", (10**12,), np.uint8, chunks=(100,)),
        r"x is declared as uint8 \[1000000000000\] and was never written",
    ),
    "without chunks": (lambda file: file.create_dataset("x", (10**9,), np.uint8), "was never written"),
    "a link": (elsewhere, "x lies in another file"),
    "stored elsewhere": (
        lambda file: file.create_dataset("x", (10,), np.uint8, external=[("/etc/hostname", 0, 10)]),
        "x lies in other files",
    ),
    "virtual": (virtual, "x lies in other files"),
    "no shape": (lambda file: file.create_dataset("x", data=h5py.Empty("f4")), "x has no shape"),
    "texts": (lambda file: file.create_dataset("x", data=["a", "b"]), "x is of object, which is not a plain"),
    "records": (
        lambda file: file.create_dataset("x", data=np.zeros(3, [("a", "f4")])),
        "which is not a plain number",
    ),
}


@pytest.mark.parametrize(("make", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_array_of_this_file(tmp_path, make, problem):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    with pytest.raises(ValueError, match=problem), open_hdf5(tmp_path / "a.h5") as file:
        assert "x" in file and file.item("absent") is None and "absent" not in file
        file.item("x")


def test_users_are_told_of_the_flag(tmp_path, monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 1)
    for name, key in (("3dshapes.h5", "images"), ("res101.mat", "features")):
        with h5py.File(tmp_path / name, "w", userblock_size=512) as file:
            file.create_dataset(key, data=np.zeros((500, 64, 64, 3), np.uint8), compression="gzip")
            file["labels"] = np.zeros((10, 6))
    for read in (lambda: open_shapes3d("h5", tmp_path / "3dshapes.h5"), lambda: read_xlsa17(tmp_path)):
        with pytest.raises(UserError, match=r"^--data.path = .* inflate to .*; .*--max-inflated-mb 7$"):
            read()
