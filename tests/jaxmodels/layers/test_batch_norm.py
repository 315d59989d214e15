"""Batch normalisation against a NumPy loop with torch's conventions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.batch_norm import BatchNorm


def test_running_variance_is_unbiased():
    """One step on 0..7 at torch's momentum 0.1: 0.9 + 0.1 * 6 = 1.5 (flax's convention: 1.425)."""
    module, x = BatchNorm(), jnp.arange(8.0)[:, None]
    variables = module.init(jax.random.key(0), x, True)
    _, changed = module.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(changed["batch_stats"]["mean"], 0.35, rtol=1e-6)
    np.testing.assert_allclose(changed["batch_stats"]["var"], 1.5, rtol=1e-6)


@pytest.mark.parametrize("shape", [(16, 3), (4, 2, 5, 3)])
@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_loop(shape, momentum):
    """Three train calls and an eval call; the batch is every axis but the last."""
    rng = np.random.default_rng(0)
    batches = rng.standard_normal((3, *shape)).astype(np.float32) * 2 + 3
    module = BatchNorm(momentum)
    variables = module.init(jax.random.key(0), batches[0], True)
    scale, bias = rng.standard_normal((2, 3)).astype(np.float32)
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": variables["batch_stats"]}
    mean, variance = np.zeros(3), np.ones(3)
    for batch in batches:
        out, changed = module.apply(variables, batch, True, mutable=["batch_stats"])
        flat = batch.reshape(-1, 3).astype(np.float64)
        expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * scale + bias
        np.testing.assert_allclose(out, expected.reshape(shape), atol=1e-5)
        mean = (1 - momentum) * mean + momentum * flat.mean(0)
        variance = (1 - momentum) * variance + momentum * flat.var(0, ddof=1)
        variables |= changed
    np.testing.assert_allclose(variables["batch_stats"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(variables["batch_stats"]["var"], variance, rtol=1e-5)
    expected = (batches[0] - mean) / np.sqrt(variance + 1e-5) * scale + bias
    np.testing.assert_allclose(module.apply(variables, batches[0], False), expected, atol=1e-5)


def test_large_means():
    """The two-pass variance is exact where the mean dwarfs the spread."""
    x = 1e4 + np.random.default_rng(0).standard_normal((256, 1)).astype(np.float32)
    module = BatchNorm(affine=False)
    out, _ = module.apply(module.init(jax.random.key(0), x, True), x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(np.std(out), 1, rtol=1e-2)


def test_initial_scale():
    init = lambda key, shape: jnp.full(shape, 0.5)  # noqa: E731
    params = BatchNorm(scale_init=init).init(jax.random.key(0), jnp.ones((4, 3)), True)["params"]
    np.testing.assert_array_equal(params["scale"], 0.5)
    np.testing.assert_array_equal(params["bias"], 0)
    default = BatchNorm().init(jax.random.key(0), jnp.ones((4, 3)), True)["params"]
    np.testing.assert_array_equal(default["scale"], 1)


def test_one_value_is_an_error():
    module = BatchNorm()
    with pytest.raises(ValueError, match="at least two values, got 1"):
        module.init(jax.random.key(0), jnp.ones((1, 3)), True)


def test_bfloat16_in_bfloat16_out_float32_statistics():
    x = jnp.ones((4, 3), jnp.bfloat16)
    out, variables = BatchNorm().init_with_output(jax.random.key(0), x, True)
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
