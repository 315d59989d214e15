import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.errors import UserError
from train.metrics.mig import mig

FACTORS = factors_of(400)


def test_golden(golden):
    np.testing.assert_allclose(mig(*golden.train), golden["mig/score"], atol=1e-10, rtol=0)


def test_closed_forms():
    grid = np.stack(np.meshgrid(*map(np.arange, (3, 4, 2)), indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(mig(aligned(grid), grid), 1, rtol=1e-12)
    np.testing.assert_allclose(mig(np.tile(aligned(grid), 2), grid), 0, atol=1e-12)
    assert mig(np.zeros_like(grid, float), grid) == 0


def test_noise_is_near_zero():
    assert 0 <= mig(noise(FACTORS), FACTORS) < 0.05


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(5)), st.sampled_from([-4.0, 0.5, 8.0]))
def test_permutation_and_scale_of_codes(order, scale):
    # Powers of two scale without rounding; a negative one turns the bins round, and none is at an edge.
    codes = noise(FACTORS) + np.pad(aligned(FACTORS), ((0, 0), (0, 1)))
    np.testing.assert_allclose(mig(scale * codes[:, order], FACTORS), mig(codes, FACTORS), atol=1e-12)


def test_refuses_one_code_and_a_constant_factor():
    with pytest.raises(UserError, match="two"):
        mig(noise(FACTORS, latents=1), FACTORS)
    with pytest.raises(UserError, match="constant"):
        mig(noise(FACTORS), FACTORS * [1, 1, 0, 1])
