"""Remap tables in both forms, and each mistake by name."""

import json

import numpy as np
import pytest

from train.data.label_maps import ClassTable
from train.data.remap import read_remap
from train.errors import UserError

JSON = json.dumps({"7": 0, "8": 1, "0": "unknown"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", JSON.encode()),
        ("a.JSON", JSON.encode("utf-8-sig")),
        ("a.csv", b"7,0\n8, 1\n\n0,unknown\n"),
        ("a.CSV", b'\xef\xbb\xbf"7","0"\r\n"8","1"\r\n"0","unknown"\r\n'),
        ("a.txt", b"7;0\r8;1\r0;unknown"),
        ("a", b"\n007\t0\n8\t1\n0\tunknown"),
    ],
)
def test_forms(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    remap = read_remap(tmp_path / name, 2, True)
    assert remap == {7: 0, 8: 1, 0: None}
    table = ClassTable.make(2, True, remap)
    np.testing.assert_array_equal(table.to_classes(np.array([[7, 8, 0, 255]]), "x"), [[0, 1, 2, 2]])
    with pytest.raises(UserError, match="value 1,"):  # what the table doesn't list is not a class
        table.to_classes(np.array([[1]]), "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "can't be read"),
        ("a.json", b"[1, 2]", "not a JSON object"),
        ("a.json", b"null", "not a JSON object"),
        ("a.json", b"{}", "lists no value"),
        ("a.json", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        ("a.JSON", b'{"a":' * 100_000, "nested too deeply"),
        ("a.json", b'{"7": ' + b"9" * 5000 + b"}", "can't be read"),
        ("a.json", b'{"7": [[[[0]]]]}', r"7 becomes '\[\[\[\[0"),
        ("a.json", b'{"7": true}', "7 becomes 'True'"),
        ("a.json", b'{"7": 0.0}', "7 becomes '0.0'"),
        ("a.json", b'{"7": null}', "7 becomes 'None'"),
        ("a.json", b'{"7": 0, "07": 1}', "7 is listed twice"),
        ("a.json", "\ufeff{}".encode("utf-16"), "can't be read"),
        ("a.csv", "7,0\n".encode("utf-16"), "is text in UTF-16"),
        ("a.csv", b"7\x00,0\n", "NUL"),
        ("a.csv", b"7,0\n8,\xe9\n", "line 2 is not UTF-8"),
        ("a.csv", b"1,2,3", "line 1 has 3 fields, not 2"),
        ("a.csv", b"1\n", "line 1 has 1 fields, not 2"),
        ("a.csv", b"value,class\n1,0", "line 1: 'value' in column 'value' is not a value"),
        ("a.csv", b"70000,1", "'70000' in column 'value' is not a value"),
        ("a.csv", b"7" * 5000 + b",1\n", "line 1: '7777.*' in column 'value' is not a value"),
        ("a.csv", b"1,0\n2," + b"7" * 5000, "line 2: 2 becomes '7777.*' in column 'class'"),
        ("a.csv", b"1,0\n2," + b"7" * 200_000, "line 2 has more than 131,072 characters in column 'class'"),
        ("a.csv", b'1,0\n2,"1\n3,1\n', "line 2: a quote that opens there is not closed"),
        ("a.csv", b"1,0\n1,1\n", "line 2: 1 is listed twice"),
        ("a.csv", "\u0667,0".encode(), "is not a value"),
        ("a.csv", b"-1,0", "'-1' in column 'value' is not a value"),
        ("a.csv", b"1,2", "1 becomes '2' in column 'class'; .*class from 0 to 1"),
        ("a.csv", b"1,unknown", "unknown needs --data.dont-care True"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\xef\xbb\xbf\n", "is empty"),
    ],
)
def test_a_bad_table_is_one_clear_error(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_remap(tmp_path / name, 2, False)
    assert str(error.value).startswith(f"--data.remap = {tmp_path / name}: ")
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["none.json", "none.csv", "folder.json", "folder"])
def test_what_is_no_file(name, tmp_path):
    if "folder" in name:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"^--data.remap = "):
        read_remap(tmp_path / name, 2, False)
