"""The likelihoods of clicks against loops, goldens, each other's limits, and at logits of +-1e4."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.special import log_expit, log_softmax

from objectives.likelihood import gaussian, logistic, multinomial

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(2 * RNG.standard_normal((4, 7)), jnp.float32)
X = jnp.asarray(RNG.random((4, 7)) < 0.4, jnp.float32)
F, Y = np.float64(LOGITS), np.float64(X)


def confident(logits, x, where=None):
    return gaussian(logits, x, positive=5.0, negative=0.5, where=where)


EXPECTED = {
    multinomial: [-sum(y[i] * log_softmax(f)[i] for i in range(7)) for f, y in zip(F, Y, strict=True)],
    logistic: [
        -sum(log_expit(f[i]) if y[i] else log_expit(-f[i]) for i in range(7))
        for f, y in zip(F, Y, strict=True)
    ],
    confident: [
        sum((2.5 if y[i] else 0.25) * (y[i] - f[i]) ** 2 for i in range(7)) for f, y in zip(F, Y, strict=True)
    ],
}


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_loops(self):
        for likelihood, expected in EXPECTED.items():
            np.testing.assert_allclose(self.variant(likelihood)(LOGITS, X), expected, rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap_over_users(self):
        for likelihood, expected in EXPECTED.items():
            out = self.variant(jax.vmap(likelihood))(LOGITS[:, None], X[:, None])
            np.testing.assert_allclose(out[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_goldens(shared, dtype, rtol):
    """On the logits of the reference network."""
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {name: archive[name] for name in archive.files if name.startswith("mv/")}

    @jax.jit
    def every(logits, x):
        weighted = gaussian(logits, x, positive=5.0, negative=1.0).mean()
        return multinomial(logits, x), logistic(logits, x).mean(), weighted

    with jax.enable_x64(dtype == np.float64):
        ours = every(gold["mv/eval/logits"].astype(dtype), gold["mv/x"].astype(dtype))
    names = ("neg_ll_per_user", "neg_ll_logistic", "neg_ll_gaussian_c1_5_c0_1")
    for value, name in zip(ours, names, strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, gold[f"mv/eval/{name}"], rtol=rtol)


@jax.jit
def values_and_gradients(logits, x):
    return [
        (likelihood(logits, x), jax.grad(lambda f, likelihood=likelihood: likelihood(f, x).sum())(logits))
        for likelihood in EXPECTED
    ]


def test_gradients_are_those_of_the_formulas():
    """softmax: N_u pi - x; logistic: sigma(f) - x; Gaussian: c (f - x)."""
    pi = np.exp(log_softmax(F, axis=1))
    expected = {
        multinomial: Y.sum(1, keepdims=True) * pi - Y,
        logistic: 1 / (1 + np.exp(-F)) - Y,
        confident: np.where(Y > 0, 5.0, 0.5) * (F - Y),
    }
    for likelihood, (_, gradient) in zip(EXPECTED, values_and_gradients(LOGITS, X), strict=True):
        np.testing.assert_allclose(gradient, expected[likelihood], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("likelihood", EXPECTED)
def test_second_derivatives(likelihood):
    check_grads(
        jax.jit(lambda f: likelihood(f, X).mean()), (LOGITS,), order=2, modes=["rev"], atol=5e-2, rtol=5e-2
    )


def test_logits_of_ten_thousand():
    """Values and gradients are finite, and exact where the loss is zero or linear."""
    logits = np.zeros((4, 7), np.float32)
    logits[:3, :3] = [[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 1e4, -1e4]]
    x = np.zeros((4, 7), np.float32)
    x[:3, :3] = [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    (multi, _), (logistic_, _), _ = out = values_and_gradients(logits, x)
    np.testing.assert_allclose(multi, [0, 3e4, 2 * np.log(2), 0], rtol=1e-6, atol=1e-3)
    zeros = np.log(2) * np.array([5, 5, 4, 7])
    np.testing.assert_allclose(logistic_ - zeros, [0, 2e4, 0, 0], rtol=1e-6, atol=1e-2)
    for value, gradient in out:
        assert np.isfinite(value).all() and np.isfinite(gradient).all()


def test_users_without_clicks():
    """They add nothing to the multinomial likelihood, and no gradient."""
    (value, gradient), *_ = values_and_gradients(LOGITS, jnp.zeros_like(X))
    assert not np.any(value) and not np.any(gradient)


def test_a_given_normaliser_replaces_the_own():
    """Such as one over the real items only: it removes the others from the softmax."""
    real = jnp.where(jnp.arange(7)[None] < 5, X, 0.0)
    padded = multinomial(LOGITS, real, lambda f: jax.nn.logsumexp(f[:, :5], axis=1))
    np.testing.assert_allclose(padded, multinomial(LOGITS[:, :5], X[:, :5]), rtol=1e-5)


def test_masked_items_take_no_part():
    where = jnp.arange(7)[None] < 5

    @jax.jit
    def masked(logits):
        return [
            jax.value_and_grad(lambda f, likelihood=likelihood: likelihood(f, X, where=where).sum())(logits)
            for likelihood in (logistic, confident)
        ]

    for likelihood, (value, gradient) in zip((logistic, confident), masked(LOGITS), strict=True):
        np.testing.assert_allclose(value, likelihood(LOGITS[:, :5], X[:, :5]).sum(), rtol=1e-5)
        assert not np.any(gradient[:, 5:])


@settings(max_examples=10)
@given(st.integers(0, 2**16), st.floats(-50, 50))
def test_invariances(seed, shift):
    """All are sums over items; the multinomial knows logits up to a constant per user only."""
    rng = np.random.default_rng(seed)
    order, logits = rng.permutation(7), rng.standard_normal((4, 7), np.float32)
    values = [value for value, _ in values_and_gradients(logits, X)]
    permuted = values_and_gradients(logits[:, order], X[:, order])
    shifted = values_and_gradients(logits + np.float32(shift), X)[0][0]
    for value, (other, _) in zip(values, permuted, strict=True):
        np.testing.assert_allclose(other, value, rtol=1e-5)
        assert np.all(value >= 0)
    np.testing.assert_allclose(shifted, values[0], rtol=1e-4, atol=1e-4)
