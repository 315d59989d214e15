import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.metrics.irs import irs

FACTORS = factors_of(300)


def test_golden(golden):
    found = irs(*golden.train)
    np.testing.assert_allclose(found.score, golden["irs/avg"], atol=1e-10, rtol=0)
    np.testing.assert_allclose(found.matrix, golden["irs/matrix"], atol=1e-10, rtol=0)
    np.testing.assert_array_equal(found.matrix.argmax(axis=1), golden["irs/parents"])


def test_codes_that_follow_their_factor_are_robust():
    np.testing.assert_allclose(irs(aligned(FACTORS), FACTORS).score, 1, atol=1e-12)


def test_constant_codes():
    assert irs(np.full((300, 3), 0.1), FACTORS).score == 0
    with_dead = np.c_[aligned(FACTORS), np.full(300, 0.1)]
    found = irs(with_dead, FACTORS)
    np.testing.assert_allclose(found.score, 1, atol=1e-12)
    assert not found.matrix[-1].any() and found.ranges[-1] == 0


def test_equals_the_loop():
    codes = noise(FACTORS, 3)
    expected = np.zeros((3, 4))
    for code, z in enumerate(codes.T):
        for factor, y in enumerate(FACTORS.T):
            moves = [np.quantile(np.abs(z[y == v] - z[y == v].mean()), 0.99) for v in sorted(set(y))]
            expected[code, factor] = 1 - np.mean(moves) / np.abs(z - z.mean()).max()
    found = irs(codes, FACTORS)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-12)
    np.testing.assert_allclose(found.score, (expected.max(1) * found.ranges).sum() / found.ranges.sum())


def test_the_papers_maximum_is_stricter():
    codes = noise(FACTORS)
    assert irs(codes, FACTORS, quantile=1.0).score < irs(codes, FACTORS).score


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(5)), st.floats(0.01, 100), st.floats(-100, 100))
def test_permutation_and_common_affine_map(order, scale, shift):
    codes = noise(FACTORS)
    moved = irs(-scale * codes[:, order] + shift, FACTORS)
    np.testing.assert_allclose(moved.score, irs(codes, FACTORS).score, atol=1e-9)
    np.testing.assert_allclose(moved.matrix, irs(codes, FACTORS).matrix[list(order)], atol=1e-9)
