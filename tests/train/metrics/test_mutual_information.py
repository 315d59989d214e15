import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from train.metrics.mutual_information import (
    contingency,
    discretise,
    entropy,
    mutual_information,
    mutual_information_matrix,
)

labels = arrays(np.int64, st.integers(1, 40).map(lambda n: (n, 2)), elements=st.integers(-2, 3))
quick = settings(deadline=None, max_examples=50)


def loop_information(a, b):
    total = 0.0
    for x, y in itertools.product(set(a), set(b)):
        joint = sum(p == x and q == y for p, q in zip(a, b, strict=True)) / len(a)
        independent = sum(a == x) * sum(b == y) / len(a) ** 2
        total += joint * np.log(joint / independent) if joint else 0
    return total


def test_golden(golden):
    codes, factors = golden.train
    np.testing.assert_array_equal(discretise(codes).T, golden["mig/discretized"])
    information = mutual_information_matrix(codes, factors)
    np.testing.assert_allclose(information, golden["mig/mi_matrix_nats"], atol=1e-10, rtol=0)
    entropies = [entropy(y) for y in factors.T]
    np.testing.assert_allclose(entropies, golden["mig/factor_entropy"], atol=1e-10, rtol=0)


def test_bins_are_equal_and_hold_the_ends():
    np.testing.assert_array_equal(discretise(np.array([[0.0], [0.49], [0.5], [1.0]]), 2)[:, 0], [1, 1, 2, 2])


def test_constant_code_is_one_bin_without_information():
    assert len(np.unique(discretise(np.full((9, 1), 0.1)))) == 1
    assert not mutual_information_matrix(np.full((9, 1), 0.1), np.arange(9)[:, None]).any()


def test_uniform_entropy():
    np.testing.assert_allclose(entropy(np.arange(7)), np.log(7), rtol=1e-14)


@quick
@given(labels)
def test_equals_the_double_loop(table):
    np.testing.assert_allclose(mutual_information(*table.T), loop_information(*table.T), atol=1e-12)


@quick
@given(labels)
def test_bounds_symmetry_and_self_information(table):
    a, b = table.T
    information = mutual_information(a, b)
    assert 0 <= information <= min(entropy(a), entropy(b)) + 1e-12
    np.testing.assert_allclose(information, mutual_information(b, a), atol=1e-12)
    np.testing.assert_allclose(mutual_information(a, a), entropy(a), atol=1e-12)
    np.testing.assert_allclose(contingency(a, b).sum(), 1)


@quick
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.floats(-100, 100))
def test_bins_follow_an_affine_map(seed, scale, shift):
    # Bins of values on a coarse grid, away from the edges, so that rounding can't move them.
    codes = np.random.default_rng(seed).permutation(np.r_[0, 20, np.arange(20) + 0.5])[:, None]
    np.testing.assert_array_equal(discretise(codes), discretise(scale * codes + shift))
