"""Instance normalisation against NumPy."""

import jax.numpy as jnp
import numpy as np

from jaxmodels.layers.instance_norm import instance_norm

X = 2 * np.random.default_rng(0).standard_normal((2, 5, 7, 3)).astype(np.float32) + 3


def test_every_image_and_channel_by_itself():
    mean, variance = X.astype(np.float64).mean((1, 2)), X.astype(np.float64).var((1, 2))
    for epsilon in (1e-5, 0.1):
        expected = (X - mean[:, None, None]) / np.sqrt(variance + epsilon)[:, None, None]
        np.testing.assert_allclose(instance_norm(X, epsilon), expected, atol=1e-5)


def test_blind_to_shift_and_scale():
    np.testing.assert_allclose(instance_norm(4 * X + 5), instance_norm(X), atol=1e-4)


def test_constant_images_become_zero():
    np.testing.assert_array_equal(instance_norm(jnp.full((1, 3, 3, 2), 7.0)), 0)


def test_large_means():
    """The two-pass variance is exact where the mean dwarfs the spread."""
    out = instance_norm(1e4 + X)
    np.testing.assert_allclose(np.std(out, axis=(1, 2)), 1, rtol=1e-2)


def test_bfloat16_in_bfloat16_out():
    out = instance_norm(jnp.asarray(X, jnp.bfloat16))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), instance_norm(X), atol=0.05)
