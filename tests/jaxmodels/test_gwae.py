"""Networks of GWAE: published sizes, shapes, number formats, and the options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.gwae import Critic, Decoder, Encoder, LatentBatchNorm, ResidualBlock
from jaxmodels.priors import make_prior

X, Z = jnp.zeros((2, 64, 64, 3)), jnp.zeros((2, 64))


def count(module, *inputs):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize(
    ("module", "inputs", "size"),
    [
        (Encoder(64), (X,), 1_771_872),
        (Decoder(), (Z,), 1_759_203),
        (Critic(), (X, Z), 913_657),
        (make_prior("neural", 64), ({"normal": Z},), 164_672),
        (make_prior("factorised-neural", 10), ({"normal": Z[:, :10]},), 530),
    ],
)
def test_published_parameter_counts(module, inputs, size):
    assert count(module, *inputs) == size


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("residual_blocks", [False, True])
def test_shapes_and_dtypes(dtype, batch_norm, residual_blocks):
    """Whatever the options and the format inside, float32 comes out and parameters are float32."""
    encoder = Encoder(10, batch_norm, residual_blocks, latent_batch_norm=True, dtype=dtype)
    decoder = Decoder(3, batch_norm, residual_blocks, dtype=dtype)
    (mu, logvar), variables = jax.eval_shape(lambda: encoder.init_with_output(jax.random.key(0), X, True))
    x, _ = jax.eval_shape(lambda: decoder.init_with_output(jax.random.key(0), Z[:, :10], True))
    assert (mu.shape, logvar.shape, x.shape) == ((2, 10), (2, 10), (2, 64, 64, 3))
    leaves = [mu, logvar, x, *jax.tree.leaves(variables)]
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}


def test_critic_shapes():
    critic = Critic(jnp.bfloat16)
    out, variables = jax.eval_shape(lambda: critic.init_with_output(jax.random.key(0), X, Z))
    assert (out.shape, out.dtype) == ((2,), jnp.float32)
    features = jax.eval_shape(lambda v: critic.apply(v, X, method="image_features"), variables)
    assert features.shape == (2, 64)


def test_latent_batch_norm_formula():
    """m = mean mu, v = mean exp(s) + var mu; running values copy the first batch, then move half-way."""
    rng = np.random.default_rng(0)
    batches = rng.standard_normal((2, 2, 16, 5)).astype(np.float32)
    module = LatentBatchNorm()
    variables = module.init(jax.random.key(0), *batches[0], True)
    expected_mean = expected_variance = None
    for mu, s in batches:
        (new_mu, new_s), variables = module.apply(variables, mu, s, True, mutable=["batch_stats"])
        m, variance = mu.mean(0), np.exp(s).mean(0) + mu.var(0, ddof=1)
        np.testing.assert_allclose(new_mu, (mu - m) / np.sqrt(variance), atol=1e-5)
        np.testing.assert_allclose(new_s, s - np.log(variance), atol=1e-5)
        first = expected_mean is None
        expected_mean = m if first else (m + expected_mean) / 2
        expected_variance = np.log(variance) if first else (np.log(variance) + expected_variance) / 2
    running = variables["batch_stats"]
    np.testing.assert_allclose(running["mean"], expected_mean, atol=1e-6)
    np.testing.assert_allclose(running["log_var"], expected_variance, atol=1e-6)
    new_mu, new_s = module.apply(variables, mu, s, False)
    np.testing.assert_allclose(new_mu, (mu - expected_mean) * np.exp(-expected_variance / 2), atol=1e-5)
    np.testing.assert_allclose(new_s, s - expected_variance, atol=1e-5)


def test_latent_batch_norm_standardises_the_aggregate():
    mu, s = jax.random.normal(jax.random.key(1), (2, 64, 3)) * 4 + 2
    module = LatentBatchNorm()
    variables = module.init(jax.random.key(0), mu, s, True)
    (mu, s), _ = module.apply(variables, mu, s, True, mutable=["batch_stats"])
    np.testing.assert_allclose(mu.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.exp(s).mean(0) + np.var(mu, 0, ddof=1), 1, rtol=1e-4)


def test_latent_batch_norm_initialisation_sees_no_batch():
    """Parameters and running values of a fresh module do not depend on the input of `init`."""
    module = LatentBatchNorm()
    fresh = [module.init(jax.random.key(0), jnp.full((4, 2), c), jnp.zeros((4, 2)), True) for c in (0.0, 3.0)]
    jax.tree.map(np.testing.assert_array_equal, *fresh)


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_residual_block(batch_norm):
    x = np.random.default_rng(0).standard_normal((3, 2, 2, 4)).astype(np.float32)
    module = ResidualBlock(batch_norm, 0.5)
    variables = module.init(jax.random.key(0), x, True)
    out, _ = module.apply(variables, x, True, mutable=["batch_stats"])
    h = x
    for i in range(2):
        layer = jax.tree.map(np.asarray, variables["params"][f"Dense_{i}"])
        h = silu(h @ layer["kernel"] + layer["bias"])
        if batch_norm:
            h = (h - h.mean((0, 1, 2))) / np.sqrt(h.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(out, x + h, atol=1e-5)
