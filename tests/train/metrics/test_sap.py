import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.errors import UserError
from train.metrics.sap import accuracies, sap, sap_continuous, squared_correlations

TRAIN, TEST = factors_of(200), factors_of(100, seed=2)


def test_golden_classifiers(golden):
    matrix = accuracies(*golden.both)
    np.testing.assert_allclose(matrix, golden["sap/score_matrix_discrete"], atol=5e-3, rtol=0)
    np.testing.assert_allclose(sap(*golden.both), golden["sap/discrete"], atol=5e-3, rtol=0)


def test_golden_correlations(golden):
    matrix = squared_correlations(*golden.train)
    np.testing.assert_allclose(matrix, golden["sap/score_matrix_continuous"], atol=1e-10, rtol=0)
    score = sap_continuous(*golden.train)
    np.testing.assert_allclose(score, golden["sap/continuous"], atol=1e-10, rtol=0)


def test_independent_binary_factors_in_their_own_codes():
    grid = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (20, 1))
    assert sap(aligned(grid), grid, aligned(grid), grid) == 0.5
    np.testing.assert_allclose(sap_continuous(aligned(grid), grid), 1, atol=1e-12)


def test_twice_the_same_codes_have_no_gap():
    codes = np.tile(aligned(TRAIN), 2), np.tile(aligned(TEST), 2)
    assert sap(codes[0], TRAIN, codes[1], TEST) == 0
    np.testing.assert_allclose(sap_continuous(codes[0], TRAIN), 0, atol=1e-12)


def test_constant_codes_and_noise():
    assert sap(np.ones((200, 3)), TRAIN, np.ones((100, 3)), TEST) == 0
    assert sap_continuous(np.ones((200, 3)), TRAIN) == 0
    assert sap_continuous(noise(TRAIN), TRAIN) < 0.05


def test_correlation_by_numpy():
    codes = noise(TRAIN)
    expected = [[np.corrcoef(z, y)[0, 1] ** 2 for y in TRAIN.T] for z in codes.T]
    np.testing.assert_allclose(squared_correlations(codes, TRAIN), expected, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(5)), st.floats(0.01, 100), st.floats(-100, 100))
def test_correlation_under_affine_maps_and_permutation(order, scale, shift):
    codes = noise(TRAIN)
    moved = squared_correlations(-scale * codes[:, order] + shift, TRAIN)
    np.testing.assert_allclose(moved, squared_correlations(codes, TRAIN)[list(order)], atol=1e-9)


def test_permutation_of_codes_leaves_accuracies():
    codes, order = (noise(TRAIN, 3), noise(TEST, 3)), [2, 0, 1]
    permuted = accuracies(codes[0][:, order], TRAIN, codes[1][:, order], TEST)
    np.testing.assert_array_equal(permuted, accuracies(codes[0], TRAIN, codes[1], TEST)[order])


def test_refuses_one_code():
    with pytest.raises(UserError, match="SAP"):
        sap(noise(TRAIN, 1), TRAIN, noise(TEST, 1), TEST)
