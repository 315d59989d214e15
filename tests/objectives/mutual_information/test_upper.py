"""The upper estimators: closed forms of Gaussians, CLUB without its pairs, unbiased sampling, the coded forms."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.mutual_information.conditional import gaussian_log_density, gaussian_scores
from objectives.mutual_information.upper import (
    club,
    club_sampled,
    leave_one_out,
    leave_one_out_coded,
    leave_one_out_masked,
    negative_index,
    vclub,
    vclub_sampled,
    vub,
    vub_sampled,
)
from tests.objectives.mutual_information.bounds import LOOPS, scores_and_baseline

SEEDS = st.integers(0, 2**16)
few = settings(max_examples=15, deadline=None, derandomize=True)


def conditional(seed, size=6, dimensions=3):
    """y, mu, logvar."""
    return jax.random.normal(jax.random.key(seed), (3, size, dimensions))


Y, MU, LOGVAR = conditional(0)
jit_vclub, jit_vclub_sampled = jax.jit(vclub), jax.jit(vclub_sampled)
club_of_pairs = jax.jit(lambda *batch: club(gaussian_scores(*batch)))


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_vclub_is_the_double_loop(self):
        y, mu, logvar = map(np.float64, (Y, MU, LOGVAR))
        squared = (mu[:, None] - y[None]) ** 2  # [x_i, y_j]
        positive = -np.stack([squared[i, i] for i in range(6)])
        expected = ((positive + squared.mean(1)) / (2 * np.exp(logvar))).sum(-1).mean()
        np.testing.assert_allclose(self.variant(vclub)(Y, MU, LOGVAR), expected, rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_sampled_vclub(self):
        index = jnp.asarray([3, 1, 5, 0, 2, 4])
        y, mu, logvar = map(np.float64, (Y, MU, LOGVAR))
        expected = 0.5 * (((mu - y[index]) ** 2 - (mu - y) ** 2) * np.exp(-logvar)).sum(-1)
        values = self.variant(vclub_sampled)(Y, MU, LOGVAR, index)
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_vub(self):
        """The KL per example; sampled from p(y|x) the other form has its mean."""
        mu, logvar = np.float64(MU), np.float64(LOGVAR)
        expected = 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(-1)
        np.testing.assert_allclose(self.variant(vub)(MU, LOGVAR), expected, rtol=1e-5)
        np.testing.assert_allclose(self.variant(vub_sampled)(MU[:, 0], MU[:, 1]), MU[:, 0] - MU[:, 1])


def test_sampled_vub_averages_to_the_divergence():
    noise = jax.random.normal(jax.random.key(1), (20_000, 3))
    mu, logvar = MU[:1] + 0 * noise, LOGVAR[:1] + 0 * noise
    y = mu + jnp.exp(logvar / 2) * noise
    log_ratio = vub_sampled(gaussian_log_density(y, mu, logvar), gaussian_log_density(y, 0 * y, 0 * y))
    error = jnp.std(log_ratio) / math.sqrt(len(y))
    np.testing.assert_allclose(jnp.mean(log_ratio), vub(MU[:1], LOGVAR[:1])[0], atol=4 * error)


@few
@given(SEEDS, st.sampled_from([1, 2, 6]))
def test_vclub_is_club_of_its_scores(seed, size):
    batch = conditional(seed, size)
    np.testing.assert_allclose(jit_vclub(*batch), club_of_pairs(*batch), rtol=1e-4, atol=1e-4)


def test_vclub_has_the_gradient_of_club():
    ours = jax.grad(jit_vclub, (0, 1, 2))(Y, MU, LOGVAR)
    pairs = jax.grad(club_of_pairs, (0, 1, 2))(Y, MU, LOGVAR)
    chex.assert_trees_all_close(ours, pairs, rtol=1e-4, atol=1e-5)


@few
@given(SEEDS, st.sampled_from([2, 6]))
def test_sampled_club_is_unbiased_for_club(seed, size):
    """Exactly: the average over all shifts of the batch, which use every pair once."""
    batch = conditional(seed, size)
    shifts = [(jnp.arange(size) + s) % size for s in range(size)]
    average = np.mean([jit_vclub_sampled(*batch, index) for index in shifts])
    np.testing.assert_allclose(average, jit_vclub(*batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("draw", ["permutation", "uniform"])
def test_both_draws_are_unbiased(draw):
    """Over 4,000 draws for one batch, within four standard errors."""
    keys = jax.random.split(jax.random.key(0), 4000)

    def estimate(key):
        return jnp.mean(vclub_sampled(Y, MU, LOGVAR, negative_index(key, 6, draw)))

    values = jax.jit(jax.vmap(estimate))(keys)
    error = jnp.std(values) / math.sqrt(len(keys))
    np.testing.assert_allclose(jnp.mean(values), vclub(Y, MU, LOGVAR), atol=4 * error)


def test_draws_of_negatives():
    permutation = negative_index(jax.random.key(0), 64)
    np.testing.assert_array_equal(np.sort(permutation), np.arange(64))
    uniform = np.asarray(negative_index(jax.random.key(0), 64, "uniform"))
    assert uniform.min() >= 0
    assert uniform.max() < 64
    assert len(set(uniform)) < 64
    with pytest.raises(Exception, match="derangement"):
        negative_index(jax.random.key(0), 4, "derangement")


def test_independence():
    """CLUB is zero where y does not depend on x, whatever the density."""
    mu, logvar = (jnp.broadcast_to(a[:1], a.shape) for a in (MU, LOGVAR))
    np.testing.assert_allclose(vclub(Y, mu, logvar), 0, atol=1e-5)
    scores = gaussian_scores(Y, mu, logvar)
    np.testing.assert_allclose(club(scores), 0, atol=1e-5)
    np.testing.assert_allclose(leave_one_out(scores), 0, atol=1e-5)


def test_the_two_normalisers_of_club():
    """All pairs give (K-1)/K of the pairs off the diagonal."""
    s = jnp.asarray(scores_and_baseline(0, 5)[0], jnp.float32)
    np.testing.assert_allclose(club(s), 4 / 5 * club(s, "off-diagonal"), rtol=1e-5)
    assert club(s[:1, :1]) == 0
    np.testing.assert_allclose(club_sampled(s[0], s[1]), s[0] - s[1])


def test_coded_forms_of_leave_one_out():
    """The PyTorch code computes CLUB; the TensorFlow code the bound, but for e^-20."""
    s64 = scores_and_baseline(1, 5)[0]
    s = jnp.asarray(s64, jnp.float32)
    np.testing.assert_allclose(leave_one_out_coded(s), LOOPS["club"](s64, 0), rtol=1e-5)
    np.testing.assert_allclose(leave_one_out_masked(s), LOOPS["loo_upper"](s64, 0), rtol=1e-5)
    raised = s + 40 * jnp.eye(5)
    assert leave_one_out_masked(raised) < leave_one_out(raised) - 10
    for form in (leave_one_out, leave_one_out_coded, leave_one_out_masked):
        with pytest.raises(ValueError, match="at least two"):
            form(s[:1, :1])


def test_conditional_goldens(goldens):
    """Every upper estimator of a known conditional on correlated Gaussians, and CLUB's analytic value near it."""
    with jax.enable_x64(True):
        log_p, x, y = (jnp.asarray(goldens[f"cond/{k}"]) for k in ("logp_rows_y_cols_x", "x", "y"))
        rho = float(goldens["cond/rho"])
        mu, logvar = rho * x, jnp.full(x.shape, math.log(1 - rho**2))
        log_conditional = gaussian_log_density(y, mu, logvar)
        standard = gaussian_log_density(y, jnp.zeros_like(y), jnp.zeros_like(y))
        scores = gaussian_scores(y, mu, logvar)
        ours = {
            "l1out": leave_one_out(log_p),
            "club": club(log_p),
            "club_offdiag": club(log_p, "off-diagonal"),
            "vub_stdnormal_mc": jnp.mean(vub_sampled(log_conditional, standard)),
            "vub_stdnormal_kl": jnp.mean(vub(mu, logvar)),
        }
        analytic = 4 * rho**2 / (1 - rho**2)
        true = -4 / 2 * math.log(1 - rho**2)
        np.testing.assert_allclose(vclub(y, mu, logvar), goldens["cond/value/club"], rtol=1e-9)
    np.testing.assert_allclose(scores, goldens["cond/logp_rows_y_cols_x"], rtol=1e-9)
    np.testing.assert_allclose(analytic, goldens["cond/analytic_club"], rtol=1e-9)
    np.testing.assert_allclose(true, goldens["cond/true_mi"], rtol=1e-9)
    for name, value in ours.items():
        np.testing.assert_allclose(value, goldens[f"cond/value/{name}"], rtol=1e-9, err_msg=name)
