"""The terms of the ELBO against closed forms and numeric integration; beta schedules at their corners."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.integrate import quad
from scipy.stats import norm as normal

from objectives.elbo import (
    absolute_error,
    beta_at,
    kl_standard_normal,
    negative_elbo,
    negative_entropy,
    squared_error,
)

RNG = np.random.default_rng(0)
MU, LOGVAR = jnp.asarray(RNG.standard_normal((2, 4, 3)), jnp.float32)
X, RECONSTRUCTION = jnp.asarray(RNG.random((2, 4, 5, 5, 3)), jnp.float32)
M, S = np.float64(MU), np.float64(LOGVAR)
KL = [
    sum(0.5 * (m**2 + np.exp(s) - s - 1) for m, s in zip(*row, strict=True)) for row in zip(M, S, strict=True)
]
ERROR = [
    0.5 * sum((x - r).reshape(-1) ** 2)
    for x, r in zip(np.float64(X), np.float64(RECONSTRUCTION), strict=True)
]
ABSOLUTE_ERROR = [
    sum(abs(x - r).reshape(-1)) for x, r in zip(np.float64(X), np.float64(RECONSTRUCTION), strict=True)
]
CASES = {
    "kl": (kl_standard_normal, (MU, LOGVAR), KL),
    "negative entropy": (negative_entropy, (LOGVAR,), [-sum(row) for row in S]),
    "squared error": (squared_error, (X, RECONSTRUCTION), ERROR),
    "absolute error": (absolute_error, (X, RECONSTRUCTION), ABSOLUTE_ERROR),
    "negative elbo": (
        lambda a, b, m, s: negative_elbo(squared_error(a, b), kl_standard_normal(m, s), 0.3),
        (X, RECONSTRUCTION, MU, LOGVAR),
        np.add(ERROR, 0.3 * np.asarray(KL)),
    ),
}


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_loops(self):
        for name, (function, args, expected) in CASES.items():
            np.testing.assert_allclose(
                self.variant(function)(*args), expected, rtol=1e-5, atol=1e-6, err_msg=name
            )

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap_over_batches_of_one(self):
        """Per-example: the value of an example does not depend on its batch."""
        for name, (function, args, expected) in CASES.items():
            singles = [a[:, None] for a in args]
            out = self.variant(jax.vmap(function))(*singles)[:, 0]
            np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function, args, _ = CASES[name]
    check_grads(
        jax.jit(lambda *a: jnp.mean(function(*a))), args, order=2, modes=["rev"], atol=5e-2, rtol=5e-2
    )


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.3, -0.7), (-0.4, 1.1)])
def test_kl_and_entropy_by_integration(mu, logvar):
    q = normal(mu, np.exp(logvar / 2))
    integral, _ = quad(lambda z: q.pdf(z) * (q.logpdf(z) - normal.logpdf(z)), -20, 20)
    mu, logvar = jnp.asarray([[mu]]), jnp.asarray([[logvar]])
    np.testing.assert_allclose(kl_standard_normal(mu, logvar)[0], integral, atol=1e-5)
    ours = negative_entropy(logvar)[0]
    np.testing.assert_allclose(ours, -2 * q.entropy() + np.log(2 * np.pi * np.e), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_kl_is_positive_and_zero_at_the_prior(seed):
    mu, logvar = jax.random.normal(jax.random.key(seed), (2, 3, 4))
    assert np.all(kl_standard_normal(mu, logvar) > 0)
    np.testing.assert_array_equal(kl_standard_normal(0 * mu, 0 * logvar), 0)
    order = np.random.default_rng(seed).permutation(4)
    np.testing.assert_allclose(
        kl_standard_normal(mu[:, order], logvar[:, order]), kl_standard_normal(mu, logvar), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("schedule", "corners"),
    [
        ("constant", {0: 2, 50: 2, 100: 2, 1000: 2}),
        ("linear", {0: 0, 25: 0.5, 50: 1, 100: 2, 1000: 2}),
        # four ramps of 25: up during 12.5, flat during 12.5
        (
            "cyclical",
            {0: 0, 5: 0.8, 13: 2, 20: 2, 25: 0, 50: 0, 75: 0, 80: 0.8, 99: 2, 100: 2, 1000: 2},
        ),
    ],
)
def test_beta_schedules(schedule, corners):
    """beta 2 over 100 steps."""
    for step, beta in corners.items():
        np.testing.assert_allclose(beta_at(jnp.asarray(step), schedule, 2.0, 100), beta, rtol=1e-5, atol=1e-6)
    traced = jax.jit(lambda step: beta_at(step, schedule, 2.0, 100))(jnp.asarray(1))
    np.testing.assert_allclose(traced, beta_at(1, schedule, 2.0, 100), rtol=1e-6)


def test_unknown_schedule():
    with pytest.raises(Exception, match="cosine"):
        beta_at(0, "cosine", 1.0, 10)
