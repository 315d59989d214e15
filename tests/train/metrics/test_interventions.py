import numpy as np
import pytest

from train.errors import UserError
from train.metrics.interventions import random_factors, reduced_codes


def test_factors_are_uniform_over_their_classes():
    factors = random_factors(np.random.default_rng(0), (3, 5), (4000, 2))
    assert factors.shape == (4000, 2, 2)
    np.testing.assert_allclose(np.bincount(factors[..., 0].ravel()) / 8000, 1 / 3, atol=0.02)
    np.testing.assert_allclose(np.bincount(factors[..., 1].ravel()) / 8000, 1 / 5, atol=0.02)


@pytest.mark.parametrize("rows_per_call", [1, 4, 7, 12, 1000])
def test_calls_are_few_of_one_size_and_in_order(rows_per_call):
    sizes = []

    def represent(factors):
        sizes.append(len(factors))
        return factors * 2.0

    factors = np.arange(7 * 4 * 3).reshape(7, 4, 3)
    sums = reduced_codes(represent, factors, lambda codes: codes.sum(axis=1), rows_per_call)
    np.testing.assert_array_equal(sums, 2 * factors.sum(axis=1))
    assert len(set(sizes)) == 1 and sizes[0] <= max(4, rows_per_call)
    assert len(sizes) == -(-7 // min(7, max(1, rows_per_call // 4)))


def test_a_code_that_is_not_finite_is_named():
    with pytest.raises(UserError, match="not finite"):
        reduced_codes(lambda y: y * np.nan, np.ones((2, 3, 1), int), lambda codes: codes[:, 0], 8)
