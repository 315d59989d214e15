"""Unknown pixels and remap tables; each mistake by name."""

import json

import numpy as np
import pytest

from train.data.label_maps import ClassTable, minus_one, read_remap
from train.errors import UserError

VALUES = np.array([[0, 1], [2, 255]])


def test_unknown_pixels():
    table = ClassTable.make(3, dont_care=True)
    np.testing.assert_array_equal(table.to_classes(VALUES, "x"), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(table.to_classes(np.array([[3]]), "x"), [[3]])
    assert table.to_classes(VALUES, "x").dtype == np.int32
    many = ClassTable.make(300, dont_care=True)
    np.testing.assert_array_equal(many.to_classes(np.array([[255, 299, 300]]), "x"), [[255, 299, 300]])


@pytest.mark.parametrize("value", [3, 200, -1, 70_000])
def test_a_value_that_is_no_class(value):
    with pytest.raises(
        UserError, match=rf"= {value}: a.png holds the value {value}, .*3 classes; .*--data.remap"
    ):
        ClassTable.make(3, dont_care=False).to_classes(np.array([[0, value]]), "a.png")


def test_255_without_unknown():
    with pytest.raises(UserError, match=r"255 means unknown: give --data.dont-care True"):
        ClassTable.make(3, dont_care=False).to_classes(VALUES, "a.png")


def test_ade20k_counts_from_one():
    table = ClassTable.make(150, True, minus_one(150))
    np.testing.assert_array_equal(table.to_classes(np.array([[0, 1, 150, 255]]), "x"), [[150, 0, 149, 150]])
    with pytest.raises(UserError, match="151"):
        table.to_classes(np.array([[151]]), "x")


def test_remap_tables(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"7": 0, "8": 1, "0": "unknown"}))
    (tmp_path / "a.csv").write_text("7,0\n8, 1\n\n0,unknown\n")
    for name in ("a.json", "a.csv"):
        remap = read_remap(tmp_path / name, 2, True)
        assert remap == {7: 0, 8: 1, 0: None}
        table = ClassTable.make(2, True, remap)
        np.testing.assert_array_equal(table.to_classes(np.array([[7, 8, 0, 255]]), "x"), [[0, 1, 2, 2]])
        with pytest.raises(UserError, match="value 1,"):  # what the table doesn't list is no class
            table.to_classes(np.array([[1]]), "x")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "can't be read"),
        ("a.json", "[1, 2]", "can't be read"),
        ("a.csv", "1,2,3", "can't be read"),
        ("a.csv", "x,1", "'x' is no value"),
        ("a.csv", "70000,1", "'70000' is no value"),
        ("a.csv", "1,2", "1 becomes '2'; .*class from 0 to 1"),
        ("a.csv", "1,unknown", "unknown needs --data.dont-care True"),
    ],
)
def test_bad_remap_tables(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_remap(tmp_path / name, 2, False)


def test_missing_remap_table(tmp_path):
    with pytest.raises(UserError, match=r"--data.remap"):
        read_remap(tmp_path / "none.json", 2, False)
