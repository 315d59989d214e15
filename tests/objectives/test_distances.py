"""Distances against loops, and their gradients where norms have none."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from objectives.distances import norm, pairwise_distance, safe_sqrt

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 2, 3)), jnp.float32)
LOOP = np.asarray([[np.linalg.norm(a - b) for b in np.float64(X)] for a in np.float64(X)])


class PairwiseDistance(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_loop(self):
        np.testing.assert_allclose(self.variant(pairwise_distance)(X), LOOP, atol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        out = self.variant(jax.vmap(pairwise_distance))(jnp.stack([X, 2 * X]))
        np.testing.assert_allclose(out, [LOOP, 2 * LOOP], atol=1e-5)


def test_derivatives():
    check_grads(jax.jit(pairwise_distance), (X,), order=2, modes=["rev"], atol=5e-2, rtol=5e-2)
    check_grads(jax.jit(norm), (X,), order=2, modes=["rev"], atol=5e-2, rtol=5e-2)


def test_far_from_the_origin():
    """Centring keeps the Gram form exact under a shift that would otherwise cost all digits."""
    np.testing.assert_allclose(pairwise_distance(X + 100), LOOP, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 7))
def test_metric(seed, size):
    d = np.asarray(pairwise_distance(jax.random.normal(jax.random.key(seed), (size, 4))))
    np.testing.assert_allclose(d, d.T, rtol=1e-6)
    np.testing.assert_array_equal(np.diagonal(d), 0)
    assert np.all(d >= 0)
    assert np.all(d[:, :, None] <= d[:, None, :] + d.T[None] + 1e-5)


@pytest.mark.parametrize("copies", [2, 5])
def test_gradient_at_duplicated_points_is_zero_between_them(copies):
    x = jnp.concatenate([jnp.ones((copies, 3)), jnp.zeros((5 - copies, 3))])
    gradient = jax.grad(lambda a: jnp.sum(pairwise_distance(a)))(x)
    assert np.all(np.isfinite(gradient))
    if copies == 5:
        np.testing.assert_array_equal(gradient, 0)


def test_safe_sqrt_at_and_below_zero():
    x = jnp.asarray([-1.0, 0.0, 4.0])
    np.testing.assert_array_equal(safe_sqrt(x), [0, 0, 2])
    np.testing.assert_array_equal(jax.grad(lambda a: safe_sqrt(a).sum())(x), [0, 0, 0.25])


def test_norm_has_gradient_zero_at_zero():
    x = jnp.asarray([[[0.0, 0.0]], [[3.0, 4.0]]])
    np.testing.assert_array_equal(norm(x), [0, 5])
    np.testing.assert_allclose(jax.grad(lambda a: norm(a).sum())(x), [[[0, 0]], [[0.6, 0.8]]], rtol=1e-6)


def test_nan_stays_nan():
    assert jnp.isnan(safe_sqrt(jnp.asarray(jnp.nan)))
    x = jnp.ones((3, 2)).at[0, 0].set(jnp.nan)
    assert jnp.isnan(pairwise_distance(x)).any()
