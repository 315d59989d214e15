"""Activations against their formulas."""

import jax
import numpy as np

from jaxmodels.layers.activations import inverse_sigmoid, leaky_silu


def test_inverse_sigmoid_inverts_the_sigmoid():
    x = np.linspace(-6, 6, 25, dtype=np.float32)
    np.testing.assert_allclose(inverse_sigmoid(jax.nn.sigmoid(x)), x, atol=1e-3)


def test_inverse_sigmoid_is_clipped_and_odd():
    x = np.asarray([0, 1e-5, 0.25, 0.75, 1 - 1e-5, 1], np.float32)
    out = inverse_sigmoid(x)
    np.testing.assert_allclose(out[:2], np.log(1e-4 / (1 - 1e-4)), rtol=1e-4)
    np.testing.assert_allclose(out, -out[::-1], atol=1e-3)


def test_leaky_silu():
    x = np.linspace(-5, 5, 21)
    np.testing.assert_allclose(
        leaky_silu(x.astype(np.float32)), 0.8 * x / (1 + np.exp(-x)) + 0.2 * x, atol=1e-6
    )
