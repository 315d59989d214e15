"""Each lower estimator's own properties: shifts, limits, ceilings, the moving average of MINE."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm as normal

from objectives.mutual_information import lower
from objectives.mutual_information.conditional import gaussian_log_density
from objectives.mutual_information.lower import barber_agakov, dv_sampled, log_mean_exp_of_others, mine
from tests.objectives.mutual_information.bounds import scores_and_baseline

S, B = scores_and_baseline(0, 4)
SCORES, BASELINE = jnp.asarray(S, jnp.float32), jnp.asarray(B, jnp.float32)
SEEDS = st.integers(0, 2**16)
dv, uba, nwj, tuba, infonce, interpolated, js_objective, mean_of_others = map(
    jax.jit,
    (
        lower.dv,
        lower.uba,
        lower.nwj,
        lower.tuba,
        lower.infonce,
        lower.interpolated,
        lower.js_objective,
        log_mean_exp_of_others,
    ),
)
js, coded_js = jax.jit(lower.js), jax.jit(lambda s: lower.js(s, shift=0.0))
dv_of_all = jax.jit(lambda s: lower.dv(s, "all"))
value_and_gradient_of_mine = jax.jit(jax.value_and_grad(mine, has_aux=True))
few = settings(max_examples=15, deadline=None, derandomize=True)


def scores(seed, scale=2.0):
    return jnp.asarray(scores_and_baseline(seed, 4, scale)[0], jnp.float32)


class PerExample(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_barber_agakov(self):
        log_q = jnp.asarray([-1.0, 2.0])
        np.testing.assert_allclose(self.variant(lambda q: barber_agakov(q, 3.0))(log_q), [2, 5])
        np.testing.assert_allclose(self.variant(barber_agakov)(log_q), log_q)

    @chex.variants(with_jit=True, without_jit=True)
    def test_sampled_dv(self):
        joint, marginal = jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([0.0, 1.0])
        expected = 2 - math.log((1 + math.e) / 2)
        np.testing.assert_allclose(self.variant(dv_sampled)(joint, marginal), expected, rtol=1e-6)


def test_barber_agakov_with_the_true_posterior(goldens):
    """H(X) + E log p(x|y) for correlated Gaussians."""
    rho = float(goldens["cond/rho"])
    with jax.enable_x64(True):
        x, y = jnp.asarray(goldens["cond/x"]), jnp.asarray(goldens["cond/y"])
        log_q = gaussian_log_density(x, rho * y, jnp.full(x.shape, math.log(1 - rho**2)))
        value = jnp.mean(barber_agakov(log_q, x.shape[-1] * normal.entropy().item()))
    np.testing.assert_allclose(value, goldens["cond/value/ba_true_posterior"], rtol=1e-9)


def test_conditional_scores(goldens):
    """The bounds of a known conditional density on correlated Gaussians."""
    log_p, y = goldens["cond/logp_rows_y_cols_x"], goldens["cond/y"]
    log_marginal = normal.logpdf(y).sum(axis=-1)
    log_ratio = log_p - log_marginal[:, None]
    with jax.enable_x64(True):
        ours = {
            "tnce": infonce(jnp.asarray(log_p)),
            "nwj_optimal": nwj(jnp.asarray(1 + log_ratio)),
            "tuba_gaussian_baseline": tuba(jnp.asarray(log_p), jnp.asarray(log_marginal)),
            "js_colab_at_logratio": coded_js(jnp.asarray(log_ratio)),
            "js_paper_at_logratio": js(jnp.asarray(log_ratio)),
        }
    for name, value in ours.items():
        np.testing.assert_allclose(value, goldens[f"cond/value/{name}"], rtol=1e-9, err_msg=name)


def test_ceiling_of_infonce(goldens):
    scores = 100 * jnp.eye(16)
    np.testing.assert_allclose(infonce(scores), goldens["poole/ceiling/infonce"], rtol=2e-5)
    np.testing.assert_allclose(infonce(scores), goldens["poole/ceiling/logK"], rtol=2e-5)


@few
@given(SEEDS, st.sampled_from([0.1, 2.0, 50.0, 1e4]))
def test_infonce_is_never_above_log_k(seed, scale):
    """Exactly, not up to rounding; and it is a cross entropy."""
    s = scores(seed, scale)
    assert infonce(s) <= np.float32(math.log(4))
    assert infonce(s + jnp.asarray(2 * scale * np.eye(4), jnp.float32)) <= np.float32(math.log(4))
    entropy = optax.softmax_cross_entropy_with_integer_labels(s, jnp.arange(4))
    np.testing.assert_allclose(infonce(s), math.log(4) - entropy.mean(), rtol=1e-5, atol=1e-5)


@few
@given(SEEDS, st.floats(-3, 3))
def test_a_constant_on_the_scores(seed, c):
    """DV, UBA and InfoNCE do not see it; NWJ and TUBA do, in closed form."""
    s = scores(seed)
    for blind in (dv, uba, infonce, dv_of_all):
        np.testing.assert_allclose(blind(s + c), blind(s), rtol=1e-4, atol=1e-5)
    s64 = np.float64(s)
    off = s64[~np.eye(4, dtype=bool)]
    expected = np.diagonal(s64).mean() + c - np.exp(off + c - 1).mean()
    np.testing.assert_allclose(nwj(s + c), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tuba(s + c, BASELINE + c), tuba(s, BASELINE), rtol=1e-4, atol=1e-4)


def test_nwj_at_its_best_constant_is_dv():
    """sup_c NWJ(f + c) = DV(f), at c = 1 - log E exp f."""
    s = scores(5)
    best = 1 - math.log(np.mean(np.exp(np.float64(s)[~np.eye(4, dtype=bool)])))
    np.testing.assert_allclose(nwj(s + best), dv(s), rtol=1e-5)
    for step in (-0.3, 0.3):
        assert nwj(s + best + step) < dv(s)


@few
@given(SEEDS)
def test_infonce_does_not_see_a_function_of_y(seed):
    s = scores(seed)
    shifted = s + jax.random.normal(jax.random.key(seed), (4, 1)) * jnp.ones((1, 4))
    np.testing.assert_allclose(infonce(shifted), infonce(s), rtol=1e-4, atol=1e-5)


@few
@given(SEEDS)
def test_limits_of_the_interpolation(seed):
    """alpha -> 0 is TUBA; alpha -> 1 has each pair's mean over the other scores, and a second term of 1."""
    s = scores(seed)
    np.testing.assert_allclose(interpolated(s, BASELINE, -40.0), tuba(s, BASELINE), rtol=1e-5, atol=1e-5)
    contrasts = [
        s[i, i] - np.logaddexp.reduce(np.delete(np.float64(s[i]), j)) + math.log(3)
        for i in range(4)
        for j in range(4)
        if i != j
    ]
    np.testing.assert_allclose(interpolated(s, BASELINE, 40.0), np.mean(contrasts), rtol=1e-5, atol=1e-5)


@few
@given(SEEDS, st.sampled_from([2, 6]), st.sampled_from([0.1, 3.0, 100.0]))
def test_mean_over_the_others(seed, size, scale):
    s = scale * np.random.default_rng(seed).standard_normal(size)
    s[0] = s.max()  # a tie at the top
    expected = [np.logaddexp.reduce(np.delete(s, j)) - math.log(size - 1) for j in range(size)]
    np.testing.assert_allclose(mean_of_others(jnp.asarray(s, jnp.float32)), expected, rtol=1e-5, atol=1e-5)


def test_gradient_of_the_mean_over_the_others():
    """At a gap that hides every other score from float32, and at a tie."""
    derivatives = jax.jit(jax.jacobian(log_mean_exp_of_others))
    for s in ([60.0, 0.0, 1.0], [2.0, 2.0, 2.0]):
        jacobian = derivatives(jnp.asarray(s))
        for j in range(3):
            weights = np.exp(np.delete(s, j) - np.logaddexp.reduce(np.delete(s, j)))
            np.testing.assert_allclose(jacobian[j], np.insert(weights, j, 0), rtol=1e-5, atol=1e-7)


def test_js_has_the_gradient_of_its_objective_and_the_value_of_nwj():
    for shift, form in ((0.0, coded_js), (1.0, js)):
        value, gradient = jax.jit(jax.value_and_grad(form))(SCORES)
        np.testing.assert_allclose(value, nwj(SCORES + shift), rtol=1e-6)
        np.testing.assert_allclose(gradient, jax.grad(js_objective)(SCORES), rtol=1e-6, atol=1e-8)


def test_the_coded_js_is_1_over_e_low_at_the_optimum():
    """At a critic whose partition function is 1, as the log ratio's is."""
    s = scores(6)
    log_ratio = s - (jnp.mean(jnp.diagonal(s)) - dv(s))
    np.testing.assert_allclose(js(log_ratio) - coded_js(log_ratio), 1 / math.e, rtol=1e-5)


def test_unclipped_smile_is_dv():
    np.testing.assert_allclose(lower.smile(SCORES, math.inf), dv(SCORES), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda s: lower.smile(s, 1.0)))(SCORES)
    np.testing.assert_allclose(gradient, jax.grad(js_objective)(SCORES), rtol=1e-6, atol=1e-8)


class Mine(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_moving_average_and_gradient(self):
        """Three batches: the first sets the average, each gradient has the updated average in its denominator."""
        step = self.variant(jax.value_and_grad(lambda s, e: mine(s, e, rate=0.1), has_aux=True))
        log_ema, average = jnp.asarray(-jnp.inf), None
        off = ~np.eye(4, dtype=bool)
        for seed in range(3):
            s = scores(seed)
            (value, log_ema), gradient = step(s, log_ema)
            exponentials = np.exp(np.float64(s)) * off
            batch_mean = exponentials.sum() / 12
            average = batch_mean if average is None else 0.9 * average + 0.1 * batch_mean
            np.testing.assert_allclose(log_ema, math.log(average), rtol=1e-5)
            np.testing.assert_allclose(value, dv(s), rtol=1e-6)
            np.testing.assert_allclose(
                gradient, np.eye(4) / 4 - exponentials / 12 / average, rtol=1e-4, atol=1e-6
            )


def test_mine_on_its_first_batch_has_the_gradient_of_dv():
    (_, log_ema), gradient = value_and_gradient_of_mine(SCORES, -jnp.inf)
    np.testing.assert_allclose(gradient, jax.grad(dv)(SCORES), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(log_ema, jnp.mean(jnp.diagonal(SCORES)) - dv(SCORES), rtol=1e-5)


@pytest.mark.parametrize("log_ema", [-jnp.inf, 0.0, -1e4, 1e4])
@pytest.mark.parametrize("sign", [-1, 1])
def test_mine_with_scores_of_1e4(log_ema, sign):
    """The average is a logarithm, and its ratio to the batch mean at most 1 / rate."""
    s = 1e4 * sign * jnp.sign(SCORES)
    (value, moved), gradient = value_and_gradient_of_mine(s, log_ema)
    np.testing.assert_allclose(value, dv(s), rtol=1e-6)
    assert np.isfinite(moved)
    assert np.all(np.isfinite(gradient))
    assert np.abs(gradient).max() <= 100.01


def test_unknown_pairs():
    with pytest.raises(Exception, match="diagonal"):
        lower.dv(SCORES, "diagonal")
