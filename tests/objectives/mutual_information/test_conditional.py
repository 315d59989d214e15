"""Conditional densities against SciPy and loops; their scores of all pairs in the memory of the pairs."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.stats import norm as normal

from objectives.mutual_information.conditional import (
    categorical_scores,
    gaussian_learning_loss,
    gaussian_log_density,
    gaussian_scores,
)

RNG = np.random.default_rng(0)
MU, LOGVAR = jnp.asarray(RNG.standard_normal((2, 5, 3)), jnp.float32)
Y = jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32)
LOG_P = [
    [
        normal.logpdf(y, m, np.exp(s / 2)).sum()
        for m, s in zip(np.float64(MU), np.float64(LOGVAR), strict=True)
    ]
    for y in np.float64(Y)
]


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_per_pair(self):
        expected = np.diagonal(LOG_P)
        np.testing.assert_allclose(self.variant(gaussian_log_density)(Y, MU, LOGVAR), expected, rtol=1e-5)
        constant = 3 * math.log(2 * math.pi)
        loss = self.variant(gaussian_learning_loss)(Y, MU, LOGVAR)
        np.testing.assert_allclose(loss, -2 * expected - constant, rtol=1e-5, atol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_all_pairs(self):
        np.testing.assert_allclose(self.variant(gaussian_scores)(Y, MU, LOGVAR), LOG_P, rtol=1e-5)
        np.testing.assert_allclose(self.variant(gaussian_scores)(Y[:2], MU, LOGVAR), LOG_P[:2], rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_classes(self):
        labels = jnp.asarray([2, 0, 2, 1])
        scores = self.variant(categorical_scores)(labels, MU)
        probabilities = np.exp(MU) / np.exp(MU).sum(-1, keepdims=True)
        expected = [[np.log(probabilities[j, label]) for j in range(5)] for label in labels]
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_derivatives():
    check_grads(jax.jit(gaussian_scores), (Y, MU, LOGVAR), order=1, modes=["rev"], atol=5e-2, rtol=5e-2)


def test_narrow_density_far_from_the_origin():
    """Where a product of matrices would keep no digit: |y| / sigma = 1e4."""
    y = 10 + 1e-3 * np.float32(Y)
    mu = 10 + 1e-3 * np.float32(MU)
    logvar = np.full_like(mu, 2 * math.log(1e-3))
    expected = normal.logpdf(np.float64(y)[:, None], np.float64(mu)[None], 1e-3).sum(-1)
    np.testing.assert_allclose(gaussian_scores(*map(jnp.asarray, (y, mu, logvar))), expected, rtol=1e-4)


@pytest.mark.parametrize("dimensions", [16, 256])
def test_memory_of_the_gradient_is_that_of_the_pairs(dimensions):
    """A few [k, k], however many dimensions y has."""
    size = 512
    shape = jax.ShapeDtypeStruct((size, dimensions), jnp.float32)
    gradient = jax.jit(jax.grad(lambda *a: jnp.sum(jnp.exp(gaussian_scores(*a))), (0, 1, 2)))
    memory = gradient.lower(shape, shape, shape).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 8 * 4 * size**2
