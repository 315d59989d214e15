import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.errors import UserError
from train.metrics.modularity import explicitness, modularity
from train.metrics.mutual_information import mutual_information_matrix

TRAIN, TEST = factors_of(300), factors_of(150, seed=2)
GRID = np.stack(np.meshgrid(*map(np.arange, (3, 4, 2)), indexing="ij"), axis=-1).reshape(-1, 3)


def test_golden_modularity(golden):
    np.testing.assert_allclose(modularity(*golden.train), golden["modularity"], atol=1e-10, rtol=0)


def test_golden_explicitness(golden):
    expected = golden["explicitness_per_factor_train_test"]
    np.testing.assert_allclose(explicitness(*golden.both), expected, atol=5e-3, rtol=0)


def test_one_factor_per_code_is_modular():
    np.testing.assert_allclose(modularity(aligned(GRID), GRID), 1, atol=1e-12)


def test_a_code_of_all_factors_alike_is_not():
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    everything = grid @ [[1], [3], [9]]
    np.testing.assert_allclose(modularity(np.repeat(everything, 2, axis=1), grid, bins=27), 0, atol=1e-12)


def test_a_code_without_information_counts_as_zero():
    codes = np.c_[aligned(GRID), np.zeros(len(GRID))]
    np.testing.assert_allclose(modularity(codes, GRID), 3 / 4, atol=1e-12)
    assert modularity(np.zeros((len(GRID), 2)), GRID) == 0


def test_equals_the_loop():
    codes = noise(TRAIN)
    rows = []
    for row in mutual_information_matrix(codes, TRAIN):
        template = np.where(row == row.max(), row.max(), 0)
        rows.append(1 - ((row - template) ** 2).sum() / (row.max() ** 2 * (len(row) - 1)))
    np.testing.assert_allclose(modularity(codes, TRAIN), np.mean(rows), atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(5)), st.sampled_from([-4.0, 0.5, 8.0]))
def test_permutation_and_scale_of_codes(order, scale):
    codes = noise(TRAIN)
    np.testing.assert_allclose(
        modularity(scale * codes[:, order], TRAIN), modularity(codes, TRAIN), atol=1e-12
    )


def test_explicitness_of_separable_codes_and_of_noise():
    one_hot = [np.concatenate([np.eye(5)[y] for y in factors.T], axis=1) for factors in (TRAIN, TEST)]
    np.testing.assert_allclose(explicitness(one_hot[0], TRAIN, one_hot[1], TEST), 1, atol=1e-12)
    areas = explicitness(noise(TRAIN), TRAIN, noise(TEST, seed=9), TEST)
    assert areas.shape == (4, 2)
    assert abs(areas[:, 1].mean() - 0.5) < 0.05


def test_explicitness_of_constant_codes_is_chance():
    np.testing.assert_allclose(explicitness(np.full((300, 2), 0.1), TRAIN, np.full((150, 2), 0.1), TEST), 0.5)


def test_explicitness_under_affine_maps():
    codes, scale = (noise(TRAIN, 3), noise(TEST, 3)), np.array([0.1, 3, -50])
    moved = explicitness(codes[0] * scale + 7, TRAIN, codes[1] * scale + 7, TEST)
    np.testing.assert_allclose(moved, explicitness(codes[0], TRAIN, codes[1], TEST), atol=2e-3)


def test_a_class_absent_from_the_test_codes_is_left_out():
    few = TEST[TEST[:, 3] > 0]
    areas = explicitness(aligned(TRAIN), TRAIN, aligned(few), few)
    assert np.isfinite(areas).all()


def test_refuses_a_constant_factor():
    with pytest.raises(UserError, match="explicitness"):
        explicitness(noise(TRAIN), TRAIN * [1, 1, 1, 0], noise(TEST), TEST)
    with pytest.raises(UserError, match="modularity"):
        modularity(noise(TRAIN), TRAIN[:, :1])
