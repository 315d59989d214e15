"""Expectations at the optimal critic: lower bounds below the true mutual information, upper bounds above.

Correlated Gaussians of 20 dimensions in batches of 64, as in both papers; every expectation is over 500 batches
and compared within standard errors.
"""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.mutual_information import lower, upper
from objectives.mutual_information.conditional import gaussian_log_density, gaussian_scores

DIMENSIONS, SIZE, BATCHES, REFERENCE_BATCHES = 20, 64, 500, 1500
LEVELS = (2.0, 4.0, 6.0, 8.0, 10.0)
LOWER = (
    "nwj",
    "tuba",
    "js_colab",
    "js_paper",
    "infonce",
    "tnce",
    "interp0.01",
    "interp0.5",
    "interp0.99",
    "ba",
)
UPPER = ("l1out", "club_offdiag", "vub")


def estimates(key, rho):
    """Every estimate on one batch; names as in mi_oracle_critic, where they are there."""
    of_x, of_noise, of_index = jax.random.split(key, 3)
    x, noise = jax.random.normal(of_x, (SIZE, DIMENSIONS)), jax.random.normal(of_noise, (SIZE, DIMENSIONS))
    y = rho * x + jnp.sqrt(1 - rho**2) * noise
    mu, logvar = rho * x, jnp.broadcast_to(jnp.log(1 - rho**2), x.shape)
    log_p = gaussian_scores(y, mu, logvar)
    log_marginal = gaussian_log_density(y, 0 * y, 0 * y)
    ratio = log_p - log_marginal[:, None]
    log_posterior = gaussian_log_density(x, rho * y, logvar)
    index = upper.negative_index(of_index, SIZE, "uniform")
    return {
        "nwj": lower.nwj(1 + ratio),
        "tuba": lower.tuba(log_p, log_marginal),
        "js_colab": lower.js(ratio, shift=0.0),
        "js_paper": lower.js(ratio),
        "dv": lower.dv(ratio),
        "smile5": lower.smile(ratio, 5.0),
        "infonce": lower.infonce(ratio),
        "tnce": lower.infonce(log_p),
        "interp0.01": lower.interpolated(log_p, log_marginal, math.log(0.01 / 0.99)),
        "interp0.5": lower.interpolated(log_p, log_marginal, 0.0),
        "interp0.99": lower.interpolated(log_p, log_marginal, math.log(0.99 / 0.01)),
        "ba": jnp.mean(lower.barber_agakov(log_posterior, DIMENSIONS / 2 * math.log(2 * math.pi * math.e))),
        "mc": jnp.mean(upper.vub_sampled(jnp.diagonal(log_p), log_marginal)),
        "l1out": upper.leave_one_out(log_p),
        "club": upper.club(log_p),
        "club_offdiag": upper.club(log_p, "off-diagonal"),
        "club_s": jnp.mean(upper.vclub_sampled(y, mu, logvar, index)),
        "vub": jnp.mean(upper.vub(mu, logvar)),
    }


@jax.jit
def over_batches(key, rho):
    return jax.lax.map(lambda k: estimates(k, rho), jax.random.split(key, BATCHES))


@functools.cache
def samples(information):
    rho = math.sqrt(1 - math.exp(-2 * information / DIMENSIONS))
    return jax.tree.map(np.float64, over_batches(jax.random.key(int(information)), jnp.asarray(rho)))


def standard_error(values):
    return values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("information", LEVELS)
def test_which_side_of_the_truth(information):
    """Within four standard errors; the bounds with room to spare are strictly on their side."""
    values = samples(information)
    for name in LOWER:
        assert values[name].mean() <= information + 4 * standard_error(values[name]), name
    for name in UPPER:
        assert values[name].mean() >= information - 4 * standard_error(values[name]), name
    for name in ("infonce", "interp0.5", "interp0.99", "js_colab"):
        assert values[name].mean() < information, name
    for name in ("l1out", "club_offdiag"):
        assert values[name].mean() > information, name
    assert values["infonce"].max() <= np.float32(math.log(SIZE))


@pytest.mark.parametrize("information", LEVELS)
def test_closed_forms(information):
    """Analytic CLUB, unbiased NWJ, BA and VUB at the optimum, JS low by 1/e."""
    values = samples(information)
    rho2 = 1 - math.exp(-2 * information / DIMENSIONS)
    club = DIMENSIONS * rho2 / (1 - rho2)
    expected = {
        "club_offdiag": club,
        "club": club * (SIZE - 1) / SIZE,
        "club_s": club * (SIZE - 1) / SIZE,
        "vub": information,
        "mc": information,
        "ba": information,
    }
    # Above 4 nats the exponentials are too heavy-tailed for a standard error to mean anything.
    if information <= 4:
        expected |= {"nwj": information, "js_colab": information - 1 / math.e, "js_paper": information}
    for name, value in expected.items():
        assert abs(values[name].mean() - value) <= 4 * standard_error(values[name]), name


@pytest.mark.parametrize("information", LEVELS)
def test_published_means(shared, information):
    """The reference's means over its own 1,500 batches, within four standard errors of the difference."""
    table = json.loads((shared / "parity" / "mi_oracle_critic_K64_d20.json").read_text())[str(information)]
    values = samples(information)
    analytic = table.pop("analytic_club")[0]
    rho2 = 1 - math.exp(-2 * information / DIMENSIONS)
    np.testing.assert_allclose(analytic, DIMENSIONS * rho2 / (1 - rho2), rtol=1e-9)
    assert table.keys() <= values.keys()
    for name, (mean, deviation) in table.items():
        error = math.hypot(deviation / math.sqrt(REFERENCE_BATCHES), standard_error(values[name]))
        assert abs(values[name].mean() - mean) <= 4 * error, name
