"""Wasserstein distances against the closed form for full matrices, and the alignment terms against loops."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.linalg import sqrtm

from objectives.alignment import (
    cross_alignment,
    distribution_alignment,
    ramp,
    reconstruction_error,
    self_reconstruction,
    wasserstein_gaussian,
)

RNG = np.random.default_rng(0)
B, L, DIMS = 4, 3, (5, 2, 6)
MU, LOGVAR = (jnp.asarray(a, jnp.float32) for a in RNG.standard_normal((2, len(DIMS), B, L)))
X = [jnp.asarray(RNG.random((B, d)), jnp.float32) for d in DIMS]
DECODED = [jnp.asarray(RNG.random((len(DIMS), B, d)), jnp.float32) for d in DIMS]
POSTERIORS = list(zip(MU, LOGVAR, strict=True))


def full_wasserstein(i, j, n):
    """W2 of two Gaussians with any covariances: ||m1 - m2||^2 + tr(S1 + S2 - 2 (S2^1/2 S1 S2^1/2)^1/2)."""
    (m1, s1), (m2, s2) = ((np.float64(MU[k, n]), np.diag(np.exp(np.float64(LOGVAR[k, n])))) for k in (i, j))
    root = sqrtm(s2)
    return np.sqrt(np.sum((m1 - m2) ** 2) + np.trace(s1 + s2 - 2 * np.real(sqrtm(root @ s1 @ root))))


def error(x, reconstruction, power):
    return [sum(abs(a - b) ** power) for a, b in zip(np.float64(x), np.float64(reconstruction), strict=True)]


W2 = {(i, j): [full_wasserstein(i, j, n) for n in range(B)] for i, j in itertools.permutations(range(3), 2)}
CROSS = list(itertools.permutations(range(3), 2))
CASES = {
    "wasserstein": (wasserstein_gaussian, (*POSTERIORS[0], *POSTERIORS[1]), W2[0, 1]),
    "l1": (lambda *a: reconstruction_error(*a, "l1"), (X[0], DECODED[0][1]), error(X[0], DECODED[0][1], 1)),
    "l2": (lambda *a: reconstruction_error(*a, "l2"), (X[0], DECODED[0][1]), error(X[0], DECODED[0][1], 2)),
    "reconstruction": (
        self_reconstruction,
        (X, DECODED),
        sum(np.asarray(error(X[j], DECODED[j][j], 1)) for j in range(3)),
    ),
    "cross": (
        cross_alignment,
        (X, DECODED),
        sum(np.asarray(error(X[j], DECODED[j][i], 1)) for i, j in CROSS),
    ),
    "cross, squared": (
        lambda *a: cross_alignment(*a, "l2"),
        (X, DECODED),
        sum(np.asarray(error(X[j], DECODED[j][i], 2)) for i, j in CROSS),
    ),
    "distribution": (
        distribution_alignment,
        (POSTERIORS,),
        sum(np.asarray(W2[pair]) for pair in itertools.combinations(range(3), 2)),
    ),
    "distribution, ordered": (
        lambda p: distribution_alignment(p, "ordered"),
        (POSTERIORS,),
        sum(np.asarray(W2[pair]) for pair in CROSS),
    ),
}


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_loops(self):
        for name, (function, args, expected) in CASES.items():
            np.testing.assert_allclose(self.variant(function)(*args), expected, rtol=1e-5, err_msg=name)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap_over_batches_of_one(self):
        """Per example: the value of an example does not depend on its batch."""
        for name, (function, args, expected) in CASES.items():
            # The batch is the axis in front of the last one.
            singles = jax.tree.map(lambda a: jnp.moveaxis(a[..., None, :], -3, 0), args)
            out = self.variant(jax.vmap(function))(*singles)[:, 0]
            np.testing.assert_allclose(out, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function, args, _ = CASES[name]
    check_grads(
        jax.jit(lambda *a: jnp.mean(function(*a))), args, order=1, modes=["rev"], atol=5e-2, rtol=5e-2
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_wasserstein_is_a_metric(seed):
    posteriors = np.random.default_rng(seed).standard_normal((3, 2, 6, 4))
    a, b, c = jnp.asarray(posteriors, jnp.float32)
    ab, ba, bc, ac = (wasserstein_gaussian(*p, *q) for p, q in ((a, b), (b, a), (b, c), (a, c)))
    np.testing.assert_array_equal(ab, ba)
    np.testing.assert_array_equal(wasserstein_gaussian(*a, *a), 0)
    assert np.all(ab > 0)
    assert np.all(ac <= ab + bc + 1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16))
def test_wasserstein_invariances(seed):
    """Unchanged by a shift of both means and by a permutation of dimensions; linear in a common scale."""
    rng = np.random.default_rng(seed)
    mu1, logvar1, mu2, logvar2 = jnp.asarray(rng.standard_normal((4, 3, 5)), jnp.float32)
    expected = wasserstein_gaussian(mu1, logvar1, mu2, logvar2)
    np.testing.assert_allclose(wasserstein_gaussian(mu1 + 2, logvar1, mu2 + 2, logvar2), expected, rtol=1e-4)
    order = rng.permutation(5)
    permuted = wasserstein_gaussian(*(a[:, order] for a in (mu1, logvar1, mu2, logvar2)))
    np.testing.assert_allclose(permuted, expected, rtol=1e-5)
    wider = 2 * np.log(3).astype(np.float32)
    scaled = wasserstein_gaussian(3 * mu1, logvar1 + wider, 3 * mu2, logvar2 + wider)
    np.testing.assert_allclose(scaled, 3 * expected, rtol=1e-4)


def test_gradient_at_equality_is_zero():
    """And only there: the second example differs."""
    mu = jnp.asarray([[0.3, -1.0], [1.0, 2.0]])
    logvar = jnp.asarray([[0.1, 0.2], [0.3, -0.4]])
    other = mu.at[1, 0].add(2.0)
    gradient = jax.grad(lambda *a: wasserstein_gaussian(*a).sum(), argnums=(0, 1, 2, 3))(
        mu, logvar, other, logvar
    )
    for part in gradient:
        np.testing.assert_array_equal(part[0], 0)
    np.testing.assert_allclose(gradient[0][1], [-1, 0], rtol=1e-6)
    np.testing.assert_allclose(gradient[2][1], [1, 0], rtol=1e-6)


def test_ordered_pairs_count_twice():
    np.testing.assert_allclose(
        distribution_alignment(POSTERIORS, "ordered"), 2 * distribution_alignment(POSTERIORS), rtol=1e-6
    )


def test_ramp_at_its_corners():
    corners = {0: 0, 6: 0, 7: 0.508125, 14: 4.065, 21: 7.621875, 22: 8.13, 99: 8.13}
    for epoch, weight in corners.items():
        np.testing.assert_allclose(ramp(epoch, 6, 22, 8.13), weight, rtol=1e-6)
        traced = jax.jit(lambda e: ramp(e, 6, 22, 8.13))(jnp.asarray(epoch))
        np.testing.assert_allclose(traced, weight, rtol=1e-6)
        assert ramp(epoch, 6, 22, 0.0) == 0
    epochs = jnp.arange(100)
    weights = jax.vmap(lambda e: ramp(e, 0, 93, 0.25))(epochs)
    np.testing.assert_allclose(weights, np.minimum(np.arange(100) / 93, 1) * 0.25, rtol=1e-6)
    np.testing.assert_array_equal(jax.vmap(lambda e: ramp(e, -1, 0, 2.0))(epochs), 2.0)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: reconstruction_error(X[0], X[0], "l3"), "l3"),
        (lambda: distribution_alignment(POSTERIORS, "all"), "all"),
    ],
)
def test_unknown_choices(call, word):
    with pytest.raises(Exception, match=word):
        call()
