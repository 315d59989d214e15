"""MMD: closed form, loop, invariances."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from objectives.mmd import mmd


def sets(seed, n=5, m=7):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((n, 3)), jnp.float32), jnp.asarray(
        rng.standard_normal((m, 3)) + 1, jnp.float32
    )


def loop(a, b):
    a, b = np.float64(a), np.float64(b)

    def mean_kernel(u, v):
        return np.mean([[np.exp(-np.sum((p - q) ** 2) / 9) for q in v] for p in u])

    return mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)


class Definition(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_loop(self):
        a, b = sets(0)
        np.testing.assert_allclose(self.variant(mmd)(a, b), loop(a, b), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        pairs = [sets(seed) for seed in range(3)]
        a, b = (jnp.stack(arrays) for arrays in zip(*pairs, strict=True))
        np.testing.assert_allclose(self.variant(jax.vmap(mmd))(a, b), [loop(*p) for p in pairs], rtol=1e-5)


def test_two_points():
    """One point each at distance d: 2 - 2 exp(-d^2 / L^2)."""
    a, b = jnp.asarray([[0.0, 0.0]]), jnp.asarray([[3.0, 4.0]])
    np.testing.assert_allclose(mmd(a, b), 2 - 2 * np.exp(-25 / 4), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_symmetric_positive_zero_for_equal_sets_and_blind_to_order(seed):
    a, b = sets(seed)
    value = mmd(a, b)
    assert value > 0
    order = np.random.default_rng(seed).permutation(len(a))
    np.testing.assert_allclose(mmd(b, a[order]), value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(mmd(a, a[order]), 0, atol=1e-6)


def test_derivatives():
    check_grads(jax.jit(mmd), sets(0), order=2, modes=["rev"], atol=5e-2, rtol=5e-2)
    gradient = jax.grad(mmd)(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
    np.testing.assert_array_equal(gradient, 0)
