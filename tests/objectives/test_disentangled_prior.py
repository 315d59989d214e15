"""The penalties of DIP-VAE: against loops, and the official package's values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives import disentangled_prior as dip


def codes():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((6, 3)).astype(np.float32) for _ in range(2))


def test_covariances_and_penalties_are_what_loops_say():
    mu, logvar = codes()
    means, of_codes = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for b in range(6):
                means[i, j] += (mu[b, i] - mu[:, i].mean()) * (mu[b, j] - mu[:, j].mean()) / 6
            of_codes[i, j] = means[i, j] + (np.exp(logvar[:, i]).mean() if i == j else 0)
    np.testing.assert_allclose(dip.covariance_of_means(jnp.asarray(mu)), means, rtol=1e-5, atol=1e-6)
    found = dip.covariance_of_codes(jnp.asarray(mu), jnp.asarray(logvar))
    np.testing.assert_allclose(found, of_codes, rtol=1e-5, atol=1e-6)
    off = sum(of_codes[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    np.testing.assert_allclose(dip.off_diagonal(found), off, rtol=1e-5)
    np.testing.assert_allclose(
        dip.diagonal(found), sum((of_codes[i, i] - 1) ** 2 for i in range(3)), rtol=1e-5
    )


def test_the_identity_costs_nothing():
    """Codes at the corners of a square are uncorrelated and of variance 1."""
    mu = jnp.asarray([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    covariance = dip.covariance_of_means(mu)
    assert dip.off_diagonal(covariance) == dip.diagonal(covariance) == 0


@pytest.mark.parametrize("form", ["i", "ii"])
def test_official_penalties(form, shared):
    with np.load(shared / "parity" / "vae_family_layers.npz", allow_pickle=False) as archive:
        golden = {n.removeprefix("fn/dip/"): archive[n] for n in archive.files if n.startswith("fn/dip/")}
    mu, logvar = (jnp.asarray(golden[name], jnp.float32) for name in ("mean", "logvar"))

    def covariance(mu, logvar):
        return dip.covariance_of_means(mu) if form == "i" else dip.covariance_of_codes(mu, logvar)

    np.testing.assert_allclose(covariance(mu, logvar), golden[f"cov_{form}"], rtol=1e-5, atol=1e-6)
    for name, penalty in (("lod", dip.off_diagonal), ("ld", dip.diagonal)):
        value, gradients = jax.value_and_grad(lambda *q, f=penalty: f(covariance(*q)), (0, 1))(mu, logvar)
        np.testing.assert_allclose(value, golden[f"{form}/{name}"], rtol=1e-5)
        for gradient, of in zip(gradients, ("mean", "logvar"), strict=True):
            official = golden.get(f"{form}/{name}/grad_{of}", np.zeros(gradient.shape))
            np.testing.assert_allclose(gradient, official, rtol=1e-4, atol=1e-6 * max(1, abs(official).max()))
