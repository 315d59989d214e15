import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.intervals import mean_interval


def test_textbook_value():
    mean, half = mean_interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert mean == 2.5
    np.testing.assert_allclose(half, 3.182446305284263 * np.sqrt(5 / 3) / 2, rtol=1e-12)


def test_one_seed_has_no_interval_and_none_is_an_error():
    mean, half = mean_interval(np.array([0.3]))
    assert mean == 0.3 and np.isnan(half)
    with pytest.raises(ValueError, match="at least one seed"):
        mean_interval(np.array([]))


def test_covers_the_mean_95_times_in_100():
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(4, 20_000))
    mean, half = mean_interval(samples)
    np.testing.assert_allclose((np.abs(mean - 3) <= half).mean(), 0.95, atol=0.006)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6), st.floats(-5, 5), st.floats(-5, 5))
def test_affine_map(values, scale, shift):
    mean, half = mean_interval(np.array(values))
    moved = mean_interval(scale * np.array(values) + shift)
    np.testing.assert_allclose(moved, (scale * mean + shift, abs(scale) * half), atol=1e-9)
