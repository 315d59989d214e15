"""The perceptual loss: golden of the official code on VGG19 with formula weights, by hand, and where gradients go."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.features.vgg import VGG, VGG19_PERCEPTUAL
from objectives.perceptual import perceptual

FAKE = [jax.random.normal(jax.random.key(i), (2, 4, 3 + i)) for i in range(3)]
REAL = [jax.random.normal(jax.random.key(9 + i), (2, 4, 3 + i)) for i in range(3)]
WEIGHTS = (0.5, 1.0, 3.0)


def formula_weights(channels):
    """Convolution k of the golden: weight.flat[t] = sin(.731 t + k) sqrt(4 / fan_in), bias[c] = .05 cos(.37 c + k)."""
    params = {}
    for k, (c, f) in enumerate(itertools.pairwise(channels)):
        t = np.arange(f * c * 9, dtype=np.float64)
        weight = np.sin(0.7310 * t + k) * np.sqrt(4 / (9 * c))
        bias = 0.05 * np.cos(0.37 * np.arange(f) + k)
        params[f"conv_{k}"] = {
            "kernel": weight.reshape(f, c, 3, 3).transpose(2, 3, 1, 0).astype(np.float32),
            "bias": bias.astype(np.float32),
        }
    return params


def test_golden(shared):
    with np.load(shared / "parity" / "spade_layers.npz") as file:
        golden = {name.removeprefix("vgg/"): file[name] for name in file.files if name.startswith("vgg/")}
    channels = (3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512)
    assert len(channels) - 1 == golden["n_convs_used"]
    a, b = (golden[name].transpose(0, 2, 3, 1) for name in "ab")
    taps = VGG(VGG19_PERCEPTUAL).apply

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=1, has_aux=True)
    def loss(variables, a, b):
        of_a, of_b = taps(variables, a), taps(variables, b)
        return perceptual(of_a, of_b), of_a

    (value, of_a), gradient = loss({"params": formula_weights(channels)}, a, b)
    for k, features in enumerate(of_a):
        batch, channels_k, *sides = golden[f"featshape/{k}"]
        assert features.shape == (batch, *sides, channels_k)
        np.testing.assert_allclose([features.mean(), features.std()], golden[f"featstat/{k}"], rtol=1e-4)
    np.testing.assert_allclose(value, golden["loss"], rtol=1e-4)
    expected = golden["grad_a"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


class Perceptual(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        expected = sum(
            w * np.abs(np.asarray(f) - np.asarray(r)).mean()
            for w, f, r in zip(WEIGHTS, FAKE, REAL, strict=True)
        )
        found = self.variant(functools.partial(perceptual, weights=WEIGHTS))(FAKE, REAL)
        assert found.shape == ()
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_zero_on_equal_features_and_no_gradient_to_real_ones():
    assert perceptual(FAKE, FAKE, WEIGHTS) == 0
    to_fake, to_real = jax.grad(perceptual, (0, 1))(FAKE, REAL, WEIGHTS)
    chex.assert_trees_all_equal(to_real, jax.tree.map(jnp.zeros_like, REAL))
    for w, f, r, g in zip(WEIGHTS, FAKE, REAL, to_fake, strict=True):
        np.testing.assert_allclose(g, w * np.sign(f - r) / f.size, rtol=1e-5)


def test_as_many_weights_as_layers():
    with pytest.raises(ValueError, match="zip"):
        perceptual(FAKE, REAL)
