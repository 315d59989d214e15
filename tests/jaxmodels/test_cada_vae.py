"""The networks of CADA-VAE: shapes, values by hand, initial bounds, and both noise laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.cada_vae import Classifier, Decoder, Encoder, noise_width, reparameterise
from jaxmodels.vae import reparameterise as standard

X = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
MU, LOGVAR = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 4)), jnp.float32)


def linear(layer, x):
    return x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("hidden", [(5,), (5, 6)])
def test_encoder(hidden):
    (mu, logvar), variables = Encoder(4, hidden).init_with_output(jax.random.key(0), X)
    h = X
    for i in range(len(hidden)):
        h = relu(linear(variables["params"][f"hidden_{i}"], h))
    np.testing.assert_allclose(mu, linear(variables["params"]["mu"], h), atol=1e-6)
    np.testing.assert_allclose(logvar, linear(variables["params"]["logvar"], h), atol=1e-6)


def test_decoder_on_codes_of_several_modalities():
    z = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    out, variables = Decoder(7, 5).init_with_output(jax.random.key(0), z)
    params = variables["params"]
    np.testing.assert_allclose(out, linear(params["out"], relu(linear(params["hidden_0"], z))), atol=1e-6)


def test_classifier():
    logits, variables = Classifier(9).init_with_output(jax.random.key(0), X)
    np.testing.assert_allclose(logits, linear(variables["params"]["logits"], X), atol=1e-6)


def test_initial_bounds():
    """Xavier uniform with gain 1/2; biases 0."""
    params = jax.jit(Encoder(64, (300,)).init)(jax.random.key(0), jnp.zeros((1, 200)))["params"]
    for name, (fan_in, fan_out) in {"hidden_0": (200, 300), "mu": (300, 64), "logvar": (300, 64)}.items():
        kernel, bound = params[name]["kernel"], 0.5 * np.sqrt(6 / (fan_in + fan_out))
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.02)
        np.testing.assert_array_equal(params[name]["bias"], 0)


def test_official_noise_is_one_number_per_example_scaled_by_the_variance():
    eps = jnp.asarray([[0.5], [-1.0], [2.0]])
    expected = [
        [m + np.exp(s) * e for m, s in zip(*row, strict=True)]
        for *row, (e,) in zip(MU, LOGVAR, eps, strict=True)
    ]
    np.testing.assert_allclose(reparameterise(MU, LOGVAR, eps, "official"), expected, rtol=1e-6)
    gradient = jax.grad(lambda s: reparameterise(MU, s, eps, "official").sum())(LOGVAR)
    np.testing.assert_allclose(gradient, np.exp(LOGVAR) * eps, rtol=1e-6)


def test_standard_noise_is_that_of_every_vae():
    eps = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)), jnp.float32)
    np.testing.assert_array_equal(reparameterise(MU, LOGVAR, eps, "standard"), standard(MU, LOGVAR, eps))


def test_noise_of_the_other_law_is_an_error():
    assert (noise_width("official", 4), noise_width("standard", 4)) == (1, 4)
    with pytest.raises(ValueError, match="official"):
        reparameterise(MU, LOGVAR, jnp.zeros((3, 4)), "official")
    with pytest.raises(ValueError, match="standard"):
        reparameterise(MU, LOGVAR, jnp.zeros((3, 1)), "standard")
    with pytest.raises(ValueError, match="halved"):
        reparameterise(MU, LOGVAR, jnp.zeros((3, 4)), "halved")
