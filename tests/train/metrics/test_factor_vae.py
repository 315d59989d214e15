import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.factor_vae import factor_vae_score

SIZES = (3, 4, 2, 5)
FEW = {"train_votes": 200, "test_votes": 100, "batch_size": 16, "variance_points": 500}


def score(represent, **changes):
    return factor_vae_score(represent, SIZES, np.random.default_rng(0), **(FEW | changes))


def as_codes(factors):
    return factors.astype(np.float32)


def test_own_codes_score_one_also_with_dead_ones():
    assert score(as_codes).test == 1
    found = score(lambda y: np.c_[np.full(len(y), 0.5), as_codes(y), 0.01 * y[:, :1]])
    assert found.test == 1 and found.train == 1
    np.testing.assert_array_equal(found.active, [False, True, True, True, True, False])


def test_noise_is_chance_and_constant_codes_zero():
    rng = np.random.default_rng(1)
    noisy = score(lambda y: rng.normal(size=(len(y), 4)), train_votes=2000, test_votes=2000, batch_size=8)
    assert abs(noisy.test - 1 / 4) < 0.05 and noisy.train >= 1 / 4
    assert score(lambda y: np.ones((len(y), 4))).test == 0


def test_one_code_of_one_factor_knows_that_factor_only():
    found = score(lambda y: as_codes(y)[:, :1], train_votes=2000, test_votes=2000)
    assert abs(found.test - 1 / 4) < 0.04


def test_votes_equal_the_loop():
    """The same draws, one vote at a time."""
    rotation = np.random.default_rng(3).normal(size=(4, 3))
    rng = np.random.default_rng(0)
    variance = (rng.integers(SIZES, size=(500, 1, 4))[:, 0] @ rotation).var(axis=0, ddof=1)
    tables = []
    for votes in (200, 100):
        held = rng.integers(4, size=votes)
        table = np.zeros((4, 3))
        for k, batch in zip(held, rng.integers(SIZES, size=(votes, 16, 4)), strict=True):
            batch[:, k] = batch[0, k]
            table[k, ((batch @ rotation).var(axis=0, ddof=1) / variance).argmin()] += 1
        tables.append(table)
    hits = sum(tables[1][tables[0][:, code].argmax(), code] for code in range(3))
    found = score(lambda y: y @ rotation)
    np.testing.assert_allclose([found.train, found.test], [tables[0].max(axis=0).sum() / 200, hits / 100])


@pytest.mark.parametrize("rows_per_call", [16, 100, 10_000])
def test_size_of_the_calls_does_not_matter(rows_per_call):
    mix = np.random.default_rng(3).normal(size=(4, 4))
    expected = score(lambda y: y @ mix)
    found = score(lambda y: y @ mix, rows_per_call=rows_per_call)
    assert (found.train, found.test) == (expected.train, expected.test)


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(4)), st.lists(st.floats(1, 50), min_size=4, max_size=4), st.floats(-9, 9))
def test_permutation_and_affine_map_of_codes(order, scale, shift):
    mix = np.eye(4) + 0.3 * np.random.default_rng(3).normal(size=(4, 4))
    moved = score(lambda y: (y @ mix * scale + shift)[:, order])
    assert moved.test == score(lambda y: y @ mix).test
