"""The networks of Mult-VAE and Mult-DAE: rows, dropout, values by hand, initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.mult_vae import Decoder, DeterministicEncoder, Encoder, dropout, normalise

X = jnp.asarray([[1.0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 3, 4, 0, 0]])


def test_rows_are_normalised_each_for_itself():
    np.testing.assert_allclose(
        normalise(X), [[0.5, 0, 0.5, 0.5, 0.5], [0] * 5, [0, 0.6, 0.8, 0, 0]], rtol=1e-6
    )


def test_gradient_of_an_empty_row_is_finite():
    assert np.isfinite(jax.grad(lambda x: normalise(x).sum())(X)).all()


def test_dropout_keeps_the_mean():
    kept = jnp.asarray(np.arange(5)[None] % 2 == 0).repeat(3, 0)
    expected = np.where(np.arange(5) % 2 == 0, np.asarray(X) / 0.25, 0)
    np.testing.assert_allclose(dropout(X, kept, 0.25), expected, rtol=1e-6)


@pytest.mark.parametrize("hidden", [(), (4, 3)])
def test_layers(hidden):
    """tanh between layers; behind the last one of Mult-DAE's encoder only."""

    def by_hand(params, h):
        for i in range(len(hidden) + 1):
            layer = params[f"dense_{i}"]
            h = (np.tanh(h) if i else h) @ layer["kernel"] + layer["bias"]
        return h

    def values(module, inputs):
        shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)
        params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)
        return jax.jit(module.apply)(params, inputs), by_hand(params["params"], inputs)

    rng = np.random.default_rng(0)
    h, z = rng.standard_normal((3, 5), np.float32), rng.standard_normal((3, 2), np.float32)
    (mu, logvar), expected = values(Encoder(2, hidden), h)
    np.testing.assert_allclose(np.concatenate([mu, logvar], axis=1), expected, rtol=1e-5, atol=1e-5)
    code, expected = values(DeterministicEncoder(2, hidden), h)
    np.testing.assert_allclose(code, np.tanh(expected), rtol=1e-5, atol=1e-5)
    logits, expected = values(Decoder(7, hidden), z)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_initial_values():
    """Glorot uniform, for the last layer of the encoder with fan-out 2 K; biases normal, cut at two deviations."""
    params = jax.jit(Encoder(100, (400,)).init)(jax.random.key(0), jnp.zeros((1, 300)))["params"]
    for layer, fans in {"dense_0": 300 + 400, "dense_1": 400 + 200}.items():
        kernel, bound = params[layer]["kernel"], np.sqrt(6 / fans)
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.02)
    bias = np.asarray(params["dense_0"]["bias"])
    assert 0.0015 < np.abs(bias).max() <= 0.002
    np.testing.assert_allclose(bias.std(), 0.88e-3, rtol=0.1)
