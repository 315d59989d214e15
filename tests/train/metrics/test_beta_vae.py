import numpy as np
import pytest

from train.errors import UserError
from train.metrics.beta_vae import _points, beta_vae_score

SIZES = (3, 4, 2, 5)


def score(represent, seed=0, **changes):
    few = {"train_points": 300, "test_points": 200, "batch_size": 16}
    return beta_vae_score(represent, SIZES, np.random.default_rng(seed), **(few | changes))


def test_own_codes_score_one():
    assert score(lambda y: y.astype(np.float32)).test == 1


def test_noise_is_chance():
    rng = np.random.default_rng(1)
    found = score(lambda y: rng.normal(size=(len(y), 4)), train_points=1000, test_points=1000)
    assert abs(found.test - 1 / 4) < 0.06


def test_points_equal_the_loop():
    mix = np.random.default_rng(3).normal(size=(4, 3))
    rng = np.random.default_rng(0)
    held = rng.integers(4, size=50)
    expected = []
    for k, (first, second) in zip(held, rng.integers(SIZES, size=(50, 2, 16, 4)), strict=True):
        second[:, k] = first[:, k]
        expected.append(
            np.mean([np.abs(a @ mix - b @ mix) for a, b in zip(first, second, strict=True)], axis=0)
        )
    points, labels = _points(lambda y: y @ mix, SIZES, np.random.default_rng(0), 50, 16, 100)
    np.testing.assert_allclose(points, expected, atol=1e-12)
    np.testing.assert_array_equal(labels, held)


def test_seed_decides_and_codes_may_be_permuted_and_shifted():
    mix = np.random.default_rng(3).normal(size=(4, 4))
    base = score(lambda y: y @ mix)
    assert score(lambda y: y @ mix) == base
    moved = score(lambda y: (y @ mix + 5)[:, [2, 0, 3, 1]])
    assert abs(moved.test - base.test) <= 0.01


def test_not_finite():
    with pytest.raises(UserError, match="not finite"):
        score(lambda y: y * np.nan)
