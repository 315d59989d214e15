"""Pairs of known mutual information: their correlation, their cubes, and the staircase of the feed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data.correlated_pairs import CorrelatedPairs, analytic_club, correlation, draw_pairs

LEVELS = np.array([2.0, 4.0, 6.0, 8.0, 10.0])


def test_correlations_and_analytic_club_are_those_of_the_papers():
    rho = correlation(LEVELS, 20)
    np.testing.assert_allclose(rho, [0.42576, 0.57418, 0.67171, 0.74207, 0.79506], atol=5e-6)
    np.testing.assert_allclose(-10 * np.log1p(-(rho**2)), LEVELS, rtol=1e-12)
    np.testing.assert_allclose(analytic_club(LEVELS, 20), [4.43, 9.84, 16.44, 24.51, 34.37], atol=6e-3)
    assert correlation(np.zeros(1), 20) == 0


def test_moments_of_the_pairs():
    x, y = draw_pairs(jax.random.key(0), 20_000, 3, 0.8)
    joint = np.concatenate([x, y], axis=1)
    expected = np.block([[np.eye(3), 0.8 * np.eye(3)], [0.8 * np.eye(3), np.eye(3)]])
    np.testing.assert_allclose(np.cov(joint.T), expected, atol=0.04)
    np.testing.assert_allclose(joint.mean(0), 0, atol=0.04)


def test_cubes_are_of_the_same_gaussians():
    x, y = draw_pairs(jax.random.key(1), 8, 2, 0.5)
    x3, y3 = draw_pairs(jax.random.key(1), 8, 2, 0.5, True)
    np.testing.assert_array_equal(x3, x)
    np.testing.assert_allclose(y3, y**3, rtol=1e-6)


@pytest.mark.parametrize("toy", ["gaussian", "cubic"])
def test_feed_climbs_the_staircase_and_stays_at_its_top(toy):
    feed = CorrelatedPairs((2.0, 6.0), 3, 8, 20, toy)
    chunk, key = feed.chunk(0, 1), jax.random.key(2)
    batches = [feed.batch(chunk, key, jnp.asarray(step), jnp.asarray(0)) for step in range(8)]
    assert [float(b["mutual_information"]) for b in batches] == [2.0] * 3 + [6.0] * 5
    for step, batch in enumerate(batches):
        x, y = draw_pairs(jax.random.fold_in(key, step), 8, 20, batch["rho"], toy == "cubic")
        np.testing.assert_array_equal(batch["x"], x)
        np.testing.assert_allclose(batch["y"], y, rtol=1e-6)
    assert not np.array_equal(batches[0]["x"], batches[1]["x"])
