"""Files that claim, inflate or hold what they should not: each is one error, and nothing of it is read first."""

import io
import struct
import zipfile

import numpy as np
import pytest

from train import inflation
from train.errors import UserError
from train.inflation import without_limit
from train.npz_files import open_npz, read_npz

ZEROS = np.zeros((30, 1000, 1000), np.uint8)


def npy(descr="'<i8'", shape="(3, 2)", body=bytes(48), order=False):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(inflation._Limit, "megabytes", 25)


CLAIMS = {
    "rows": (npy(shape="(1000000000000, 2)"), "claims int64 [1000000000000, 2], more than the 48 bytes"),
    "one row": (npy(shape="(4, 2)"), "more than the 48 bytes"),
    "too few": (npy(shape="(2, 2)"), "16 bytes more than its header says"),
    "beyond 64 bits": (npy(shape=f"({2**62}, {2**62})"), "more than the 48 bytes"),
    "rows of nothing": (npy(shape="(1000000000000, 0)", body=b""), "more than the 0 bytes"),
    "texts of nothing": (npy("'|S0'", "(1000000000000,)", b""), "more than the 0 bytes"),
    "a negative axis": (npy(shape="(-3, -2)"), "has the shape (-3, -2)"),
    "true as an axis": (npy(shape="(True, 6)"), "has the shape (True, 6)"),
    "objects": (npy("'|O'"), "holds Python objects, which are never read"),
    "a record": (npy("[('a', '<i8'), ('b', '<i8')]", "(3,)"), "which is not a plain number or text"),
    "an inner array": (npy("('<i8', (1000,))"), "is not a plain number or text"),
    "no shape": (npy(shape="'x'"), "x is not an array"),
    "nested": (npy(shape="(" * 5000), "x is not an array"),
    "a call": (npy(shape="__import__('os').getpid()"), "x is not an array"),
    "another version": (b"\x93NUMPY\x09\x00" + bytes(60), "x is not an array"),
    "text": (b"hello", "x is not an array"),
    "nothing": (b"", "x is not an array"),
}


@pytest.mark.parametrize(("content", "problem"), CLAIMS.values(), ids=CLAIMS)
def test_headers_that_do_not_tell_the_truth(tmp_path, content, problem):
    path = archive(tmp_path / "a.npz", [("x.npy", content)])
    with pytest.raises(UserError) as caught:
        read_npz(path, "--input")
    assert (
        str(caught.value).startswith(f"--input = {path}: not a readable npz file (")
        and len(str(caught.value)) < 600
    )
    assert problem in str(caught.value)


def test_what_inflates_needs_the_flag(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=ZEROS)
    with pytest.raises(
        UserError, match=r"bytes inflate to 30,000,128 with array x; .* --max-inflated-mb 31$"
    ):
        read_npz(path, "--input")
    with pytest.raises(UserError, match=r"--max-inflated-mb 31$"), open_npz(path, "--input") as file:
        next(file.blocks("x", 10))
    assert without_limit(["run", "--max-inflated-mb", "31", "--k=3"]) == ["run", "--k=3"]
    assert read_npz(path, "--input")["x"].shape == ZEROS.shape


def test_what_inflates_in_parts_counts_as_a_whole(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=ZEROS[:13], y=ZEROS[:13], z=np.arange(3))
    with pytest.raises(UserError, match=r"inflate to 26,000,\d* with array y"):
        read_npz(tmp_path / "a.npz", "--input")
    assert read_npz(tmp_path / "a.npz", "--input", ["z"])["z"].tolist() == [0, 1, 2]


def damaged(path, kind):
    np.savez_compressed(path, x=np.arange(5000))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    if kind == "cut":
        content = content[: len(content) // 2]
    elif kind == "flipped":
        content[len(content) // 3] ^= 8
    elif kind == "encrypted":
        content[6] |= 1
        content[at + 8] |= 1
    elif kind == "compressed unknown":
        content[8], content[at + 10] = 99, 99
    elif kind == "claims a terabyte":
        content[at + 24 : at + 28] = b"\xff\xff\xff\x7f"
    elif kind == "text":
        content = b"PK"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind", ["cut", "flipped", "encrypted", "compressed unknown", "claims a terabyte", "text"]
)
def test_damaged_archives(tmp_path, kind):
    path = damaged(tmp_path / "a.npz", kind)
    with pytest.raises(UserError, match=r"^--data.path = .*a\.npz: "):
        read_npz(path, "--data.path")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path):
    path = archive(tmp_path / "a.npz", [("x.npy", npy()), ("x.npy", npy())])
    with pytest.raises(UserError, match="two arrays are called x"):
        read_npz(path, "--input")
    path = archive(tmp_path / "a.npz", [("x.npy", npy()), ("x", npy())])
    with pytest.raises(UserError, match="two arrays are called x"):
        read_npz(path, "--input")


def test_other_files(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    for name, problem in (("a.npy", "single array"), ("", "directory"), ("none.npz", "No such file")):
        with pytest.raises(UserError, match=problem):
            read_npz(tmp_path / name, "--input")


def test_names_that_are_missing_are_named_and_lists_of_names_are_cut(tmp_path):
    np.savez(tmp_path / "a.npz", **{f"array{i}" + "n" * 500: np.arange(2) for i in range(99)})
    with pytest.raises(UserError, match=r"has no array 'x' \(it holds array0n.* and 91 more\)") as caught:
        read_npz(tmp_path / "a.npz", "--input", ["x"], optional=["y"])
    assert len(caught.value.problem) < 700


@pytest.mark.parametrize("compressed", [False, True])
def test_good_files(tmp_path, compressed):
    arrays = {
        "x": np.arange(12.0).reshape(3, 4),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "texts": np.array(["a", "bc"]),
        "one": np.array(3),
        "none": np.zeros((0, 4)),
        "flags": np.array([True, False]),
        "big": np.arange(3, dtype=">i4"),
    }
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz", "--input")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].flags.c_contiguous
    with open_npz(tmp_path / "a.npz", "--input") as file:
        np.testing.assert_array_equal(np.concatenate(list(file.blocks("x", 2))), arrays["x"])
        assert file.header("columns").fortran_order and file.header("x").shape == (3, 4)


def test_newer_headers(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.arange(3), version=(2, 0))
    archive(tmp_path / "a.npz", [("x.npy", stream.getvalue())])
    assert read_npz(tmp_path / "a.npz", "--input")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("number", [0x7FFFFFFF, 0x110000, 0xD800])
def test_text_of_numbers_that_are_not_characters(tmp_path, number, order):
    texts = np.array([65, number], f"{order}u4").view(f"{order}U1")
    stream = io.BytesIO()
    np.lib.format.write_array(stream, texts)
    archive(tmp_path / "a.npz", [("names.npy", stream.getvalue())])
    with pytest.raises(UserError, match="not characters"):
        read_npz(tmp_path / "a.npz", "--input")
