"""Unknown pixels and remap tables; each mistake by name."""

import numpy as np
import pytest

from train.data.label_maps import ClassTable, minus_one
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
    with pytest.raises(UserError, match=r"if 255 means unknown, give --data.dont-care True"):
        ClassTable.make(3, dont_care=False).to_classes(VALUES, "a.png")


def test_ade20k_counts_from_one():
    table = ClassTable.make(150, True, minus_one(150))
    np.testing.assert_array_equal(table.to_classes(np.array([[0, 1, 150, 255]]), "x"), [[150, 0, 149, 150]])
    with pytest.raises(UserError, match="151"):
        table.to_classes(np.array([[151]]), "x")
