import numpy as np
import pytest

from train.errors import UserError
from train.metrics.arrays import checked, require_two, require_varied, top_gap

CODES, FACTORS = np.zeros((4, 2), np.float32), np.array([[0, 1], [1, 1], [0, 1], [1, 1]])


def test_codes_become_float64():
    codes, factors = checked(CODES, FACTORS)
    assert codes.dtype == np.float64 and factors is FACTORS


@pytest.mark.parametrize(
    ("codes", "factors"),
    [
        (CODES[0], FACTORS),
        (CODES, FACTORS[0]),
        (CODES[:3], FACTORS),
        (CODES[:0], FACTORS[:0]),
        (CODES, FACTORS * 1.0),
    ],
)
def test_wrong_shapes_and_types(codes, factors):
    with pytest.raises(ValueError, match="factors"):
        checked(codes, factors)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_code_that_is_not_finite_is_named(value):
    codes = CODES.copy()
    codes[2, 1] = value
    with pytest.raises(UserError, match=r"columns \[1\]: not finite"):
        checked(codes, FACTORS)


def test_one_code_or_factor():
    with pytest.raises(UserError, match="latent-dim"):
        require_two(CODES[:, :1], FACTORS, "DCI")
    with pytest.raises(UserError, match="compares factors"):
        require_two(CODES, FACTORS[:, :1], "DCI")


def test_constant_factor_is_named():
    with pytest.raises(UserError, match=r"factors = columns \[1\]"):
        require_varied(FACTORS, "SAP")


def test_top_gap():
    np.testing.assert_array_equal(top_gap(np.array([[1.0, 5.0], [4.0, 5.0], [2.0, 0.0]])), [2, 0])
