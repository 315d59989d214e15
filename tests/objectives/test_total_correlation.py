"""Total correlation by a density ratio: against loops, a known density ratio, and the official permutation."""

import jax
import jax.numpy as jnp
import numpy as np

from objectives.total_correlation import discrimination, log_density_ratio, permute_dims


def test_ratio_and_discrimination_are_what_loops_say():
    rng = np.random.default_rng(0)
    joint, permuted = (np.log(rng.dirichlet((1, 1), 5)).astype(np.float32) for _ in range(2))
    ratio = [row[0] - row[1] for row in joint]
    cross_entropies = [-a[0] - b[1] for a, b in zip(joint, permuted, strict=True)]
    np.testing.assert_allclose(log_density_ratio(jnp.asarray(joint)), ratio, rtol=1e-6)
    found = discrimination(jnp.asarray(joint), jnp.asarray(permuted))
    np.testing.assert_allclose(found, cross_entropies, rtol=1e-6)


def test_the_best_discriminator_gives_the_total_correlation_of_a_gaussian():
    """Of two numbers of correlation rho it is -1/2 log(1 - rho^2) nats."""
    rho, n = 0.8, 200_000
    rng = np.random.default_rng(0)
    a, e = rng.standard_normal((2, n))
    z = np.stack([a, rho * a + np.sqrt(1 - rho**2) * e])
    quadratic = (z[0] ** 2 - 2 * rho * z[0] * z[1] + z[1] ** 2) / (1 - rho**2)
    log_ratio = -0.5 * np.log(1 - rho**2) - 0.5 * quadratic + 0.5 * np.sum(z**2, axis=0)
    probability = np.stack([-np.log1p(np.exp(-log_ratio)), -np.log1p(np.exp(log_ratio))], axis=1)
    estimate = jnp.mean(log_density_ratio(jnp.asarray(probability, jnp.float32)))
    np.testing.assert_allclose(estimate, -0.5 * np.log(1 - rho**2), atol=0.01)


def test_permuting_is_what_a_loop_does_and_keeps_every_column():
    rng = np.random.default_rng(0)
    z, uniform = rng.standard_normal((7, 3)).astype(np.float32), rng.random((7, 3)).astype(np.float32)
    expected = np.empty_like(z)
    for j in range(3):
        for i, row in enumerate(sorted(range(7), key=lambda row: uniform[row, j])):
            expected[i, j] = z[row, j]
    found = permute_dims(jnp.asarray(z), jnp.asarray(uniform))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(z, axis=0))


def test_permuting_is_the_official_one(shared):
    with np.load(shared / "parity" / "vae_family_layers.npz", allow_pickle=False) as golden:
        z, uniform, out = (golden[f"fn/permute_dims/{name}"] for name in ("z", "u", "out"))
    found = permute_dims(jnp.asarray(z, jnp.float32), jnp.asarray(uniform, jnp.float32))
    np.testing.assert_array_equal(found, out.astype(np.float32))


def test_the_gradient_of_the_ratio_pushes_a_code_towards_the_permuted_class():
    gradient = jax.grad(lambda p: jnp.mean(log_density_ratio(p)))(jnp.zeros((2, 2)))
    np.testing.assert_allclose(gradient, [[0.5, -0.5]] * 2)
