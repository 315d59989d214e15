"""Noise by seed and step."""

import jax
import jax.numpy as jnp
import numpy as np

from train.data.standard_normal import StandardNormal


def test_noise_is_a_function_of_seed_and_step():
    feed = StandardNormal((512, 3))
    draws = [
        np.asarray(feed.batch(feed.chunk(0, 1), jax.random.key(seed), jnp.asarray(step), jnp.asarray(0)))
        for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert draws[0].shape == (512, 3)
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.any(draws[0] != draws[2]) and np.any(draws[0] != draws[3])
    np.testing.assert_allclose(draws[0].mean(0), 0, atol=0.2)
    np.testing.assert_allclose(draws[0].std(0), 1, atol=0.15)
