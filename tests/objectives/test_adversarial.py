"""Penalty, interpolation and drift against their closed forms."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from objectives.adversarial import drift, gradient_penalty, interpolate

W = np.asarray([[1.0, 2.0], [0.5, -1.0]], np.float32)
V = np.asarray([2.0, -0.5, 1.0], np.float32)
POINTS = (jnp.ones((4, 2, 2)), jnp.ones((4, 3)))
LINEAR_PENALTY = (np.sqrt((W**2).sum() + (V**2).sum()) - 1) ** 2


def linear(points):
    x, z = points
    return jnp.einsum("bij,ij->b", x, W) + z @ V + 3


def quadratic(points):
    x, z = points
    return jnp.sum(x**2, axis=(1, 2)) + 0.5 * jnp.sum(z**2, axis=1)


class Penalty(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_linear_critic(self):
        """(||w|| - 1)^2 everywhere, one norm over both spaces."""
        out = self.variant(lambda p: gradient_penalty(linear, p))(POINTS)
        np.testing.assert_allclose(out, np.full(4, LINEAR_PENALTY), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        stacked = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), POINTS)
        out = self.variant(jax.vmap(lambda p: gradient_penalty(quadratic, p)))(stacked)
        expected = [(s * np.sqrt(4 * 4 + 3) - 1) ** 2 for s in (1, 2)]
        np.testing.assert_allclose(out, np.repeat(np.asarray(expected)[:, None], 4, 1), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_interpolation_and_drift(self):
        t = jnp.asarray([0.0, 0.25, 0.5, 0.75])
        mixed = self.variant(interpolate)(POINTS, jax.tree.map(lambda a: 5 * a, POINTS), t)
        for array, original in zip(mixed, POINTS, strict=True):
            expected = np.broadcast_to(
                np.asarray(5 - 4 * t).reshape(-1, *[1] * (original.ndim - 1)), original.shape
            )
            np.testing.assert_allclose(array, expected, rtol=1e-6)
        np.testing.assert_allclose(self.variant(drift)(t), t**2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.1, 5))
def test_penalty_is_per_example_and_blind_to_order(seed, scale):
    rng = np.random.default_rng(seed)
    points = tuple(jnp.asarray(scale * rng.standard_normal(a.shape), jnp.float32) for a in POINTS)
    out = gradient_penalty(quadratic, points)
    x, z = map(np.float64, points)
    lengths = np.sqrt((4 * x**2).sum((1, 2)) + (z**2).sum(1))
    np.testing.assert_allclose(out, (lengths - 1) ** 2, rtol=1e-4, atol=1e-5)
    order = rng.permutation(4)
    np.testing.assert_allclose(
        gradient_penalty(quadratic, tuple(a[order] for a in points)), out[order], rtol=1e-5
    )


def test_unit_gradient_costs_nothing():
    points = (jnp.zeros((3, 2)),)
    np.testing.assert_allclose(
        gradient_penalty(lambda p: p[0] @ jnp.asarray([0.6, 0.8]), points), 0, atol=1e-12
    )


def test_flat_critic_has_penalty_one_and_finite_second_derivative():
    def loss(w):
        return jnp.mean(gradient_penalty(lambda p: w * jnp.sum(p[0] ** 2, 1), (jnp.zeros((3, 2)),)))

    value, gradient = jax.value_and_grad(loss)(1.0)
    assert (value, gradient) == (1, 0)


def test_derivatives_with_respect_to_the_critic():
    """d/dw (|w| sqrt(s) - 1)^2 for D = w (v.x), and numerically for a critic that is not linear."""
    points = (jnp.ones((3, 2)),)
    v = jnp.asarray([3.0, 4.0])
    slope = jax.grad(lambda w: jnp.mean(gradient_penalty(lambda p: w * (p[0] @ v), points)))(0.5)
    np.testing.assert_allclose(slope, 2 * (2.5 - 1) * 5, rtol=1e-5)

    def loss(w):
        return jnp.mean(gradient_penalty(lambda p: jnp.sum(jnp.tanh(p[0] @ w), -1), points))

    check_grads(loss, (jnp.asarray([[0.3, -0.2], [0.5, 0.9]]),), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_one_t_for_every_array_of_an_example():
    with pytest.raises(Exception, match=r"'t'|broadcast"):
        interpolate(POINTS, POINTS, jnp.zeros(3))
