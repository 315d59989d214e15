"""Penalties, interpolation, drift and GAN losses against their closed forms and the official code's."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from objectives.adversarial import (
    drift,
    generator_loss,
    gradient_penalty,
    interpolate,
    loss_on_fake,
    loss_on_real,
    r1_penalty,
)
from tests.jaxmodels.spade_goldens import load, under

W = np.asarray([[1.0, 2.0], [0.5, -1.0]], np.float32)
V = np.asarray([2.0, -0.5, 1.0], np.float32)
POINTS = (jnp.ones((4, 2, 2)), jnp.ones((4, 3)))
LINEAR_PENALTY = (np.sqrt((W**2).sum() + (V**2).sum()) - 1) ** 2


def linear(points):
    x, z = points
    return jnp.einsum("bij,ij->b", x, W) + z @ V + 3


def quadratic(points):
    x, z = points
    return jnp.sum(x**2, axis=(1, 2)) + 0.5 * jnp.sum(z**2, axis=1)


class Penalty(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_linear_critic(self):
        """(||w|| - 1)^2 everywhere, one norm over both spaces."""
        out = self.variant(lambda p: gradient_penalty(linear, p))(POINTS)
        np.testing.assert_allclose(out, np.full(4, LINEAR_PENALTY), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        stacked = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), POINTS)
        out = self.variant(jax.vmap(lambda p: gradient_penalty(quadratic, p)))(stacked)
        expected = [(s * np.sqrt(4 * 4 + 3) - 1) ** 2 for s in (1, 2)]
        np.testing.assert_allclose(out, np.repeat(np.asarray(expected)[:, None], 4, 1), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_interpolation_and_drift(self):
        t = jnp.asarray([0.0, 0.25, 0.5, 0.75])
        mixed = self.variant(interpolate)(POINTS, jax.tree.map(lambda a: 5 * a, POINTS), t)
        for array, original in zip(mixed, POINTS, strict=True):
            expected = np.broadcast_to(
                np.asarray(5 - 4 * t).reshape(-1, *[1] * (original.ndim - 1)), original.shape
            )
            np.testing.assert_allclose(array, expected, rtol=1e-6)
        np.testing.assert_allclose(self.variant(drift)(t), t**2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.1, 5))
def test_penalty_is_per_example_and_blind_to_order(seed, scale):
    rng = np.random.default_rng(seed)
    points = tuple(jnp.asarray(scale * rng.standard_normal(a.shape), jnp.float32) for a in POINTS)
    out = gradient_penalty(quadratic, points)
    x, z = map(np.float64, points)
    lengths = np.sqrt((4 * x**2).sum((1, 2)) + (z**2).sum(1))
    np.testing.assert_allclose(out, (lengths - 1) ** 2, rtol=1e-4, atol=1e-5)
    order = rng.permutation(4)
    np.testing.assert_allclose(
        gradient_penalty(quadratic, tuple(a[order] for a in points)), out[order], rtol=1e-5
    )


def test_unit_gradient_costs_nothing():
    points = (jnp.zeros((3, 2)),)
    np.testing.assert_allclose(
        gradient_penalty(lambda p: p[0] @ jnp.asarray([0.6, 0.8]), points), 0, atol=1e-12
    )


def test_flat_critic_has_penalty_one_and_finite_second_derivative():
    def loss(w):
        return jnp.mean(gradient_penalty(lambda p: w * jnp.sum(p[0] ** 2, 1), (jnp.zeros((3, 2)),)))

    value, gradient = jax.value_and_grad(loss)(1.0)
    assert (value, gradient) == (1, 0)


def test_derivatives_with_respect_to_the_critic():
    """d/dw (|w| sqrt(s) - 1)^2 for D = w (v.x), and numerically for a critic that is not linear."""
    points = (jnp.ones((3, 2)),)
    v = jnp.asarray([3.0, 4.0])
    slope = jax.grad(lambda w: jnp.mean(gradient_penalty(lambda p: w * (p[0] @ v), points)))(0.5)
    np.testing.assert_allclose(slope, 2 * (2.5 - 1) * 5, rtol=1e-5)

    def loss(w):
        return jnp.mean(gradient_penalty(lambda p: jnp.sum(jnp.tanh(p[0] @ w), -1), points))

    check_grads(loss, (jnp.asarray([[0.3, -0.2], [0.5, 0.9]]),), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_one_t_for_every_array_of_an_example():
    with pytest.raises(Exception, match=r"'t'|broadcast"):
        interpolate(POINTS, POINTS, jnp.zeros(3))


OFFICIAL_NAMES = {"hinge": "hinge", "least_squares": "ls", "original": "original", "wasserstein": "w"}


@pytest.mark.parametrize("name", ["spade_normal", "spade_vae", "dagan_normal"])
@pytest.mark.parametrize("kind", OFFICIAL_NAMES)
def test_gan_losses_as_the_official_code(shared, name, kind):
    """The mean over scales of the mean over logits, from the golden's own logits."""
    golden = load(shared, name)
    wanted = under(golden, f"ganloss/{OFFICIAL_NAMES[kind]}/")

    def over_scales(loss, side):
        logits = [jnp.asarray(golden[f"eval/D/{side}/{scale}/4"]) for scale in (0, 1)]
        return np.mean([loss(of_scale, kind).mean() for of_scale in logits])

    np.testing.assert_allclose(over_scales(loss_on_fake, "fake"), wanted["D_fake"], rtol=1e-4)
    np.testing.assert_allclose(over_scales(loss_on_real, "real"), wanted["D_real"], rtol=1e-4)
    np.testing.assert_allclose(over_scales(generator_loss, "fake"), wanted["G"], rtol=1e-4)


class GANLosses(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_closed_forms(self):
        """On logits on both sides of every corner."""
        d = np.asarray([-3.0, -1.0, 0.0, 0.5, 1.0, 2.0])
        softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
        wanted = {
            "hinge": (np.maximum(0, 1 - d), np.maximum(0, 1 + d), -d),
            "least_squares": ((d - 1) ** 2, d**2, (d - 1) ** 2),
            "original": (softplus(-d), softplus(d), softplus(-d)),
            "wasserstein": (-d, d, -d),
        }
        for kind, expected in wanted.items():
            for loss, values in zip((loss_on_real, loss_on_fake, generator_loss), expected, strict=True):
                out = self.variant(lambda x, loss=loss, kind=kind: loss(x, kind))(jnp.asarray(d, jnp.float32))
                np.testing.assert_allclose(out, values, rtol=1e-5, atol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_r1_of_a_linear_critic(self):
        """||w||^2 / 2 everywhere, over both spaces."""
        out = self.variant(lambda p: r1_penalty(linear, p))(POINTS)
        np.testing.assert_allclose(out, np.full(4, ((W**2).sum() + (V**2).sum()) / 2), rtol=1e-5)


def test_hinge_at_its_corners():
    """Real: slope -1 below 1 and 0 above; fake: 0 below -1 and 1 above; the generator's slope is -1 everywhere."""
    slopes = lambda loss, *at: [float(jax.grad(lambda x: loss(x, "hinge"))(x)) for x in at]  # noqa: E731
    assert (loss_on_real(jnp.float32(1), "hinge"), loss_on_fake(jnp.float32(-1), "hinge")) == (0, 0)
    assert slopes(loss_on_real, 0.999, 1.001) == [-1, 0]
    assert slopes(loss_on_fake, -1.001, -0.999) == [0, 1]
    assert slopes(generator_loss, -5.0, 5.0) == [-1, -1]


@pytest.mark.parametrize("loss", [loss_on_real, loss_on_fake, generator_loss])
def test_logistic_loss_of_large_logits_is_finite(loss):
    for logit in (-1e4, 1e4):
        value, slope = jax.value_and_grad(lambda x: loss(x, "original"))(jnp.float32(logit))
        assert np.isfinite(value)
        assert np.isfinite(slope)


def test_unknown_gan_loss_is_an_error():
    for loss in (loss_on_real, loss_on_fake, generator_loss):
        with pytest.raises(Exception, match=r"softplus"):
            loss(jnp.zeros(2), "softplus")


def test_r1_is_per_example_and_has_derivatives():
    points = (jnp.asarray([[1.0, 2.0], [0.0, 3.0]]),)
    np.testing.assert_allclose(r1_penalty(lambda p: jnp.sum(p[0] ** 2, 1), points), [2 * 5, 2 * 9], rtol=1e-6)
    slope = jax.grad(lambda w: jnp.sum(r1_penalty(lambda p: w * jnp.sum(p[0], 1), points)))(3.0)
    np.testing.assert_allclose(slope, 2 * 3 * 2, rtol=1e-6)
