"""AMSGrad against a loop in float64, and how optax's differs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from train.steps.amsgrad import amsgrad

RATE, STEPS = 0.01, 30
# Gradients that shrink, so that the maximum matters.
GRADIENTS = (
    np.random.default_rng(0).standard_normal((STEPS, 2, 5)) * np.geomspace(5, 0.01, STEPS)[:, None, None]
)


def loop(gradients, rate=RATE, b1=0.9, b2=0.999, eps=1e-8):
    """torch.optim.Adam(amsgrad=True), as its documentation has it."""
    x = m = v = v_max = np.zeros(gradients.shape[1:])
    out = []
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        v_max = np.maximum(v_max, v)
        x = x - rate / (1 - b1**t) * m / (np.sqrt(v_max) / np.sqrt(1 - b2**t) + eps)
        out.append(x)
    return np.asarray(out)


def trajectory(optimiser, gradients=GRADIENTS):
    def body(carry, g):
        params, state = carry
        updates, state = optimiser.update({"w": g[0], "b": g[1]}, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), jnp.stack([params["w"], params["b"]])

    params = {"w": jnp.zeros(gradients.shape[2]), "b": jnp.zeros(gradients.shape[2])}
    return jax.lax.scan(body, (params, optimiser.init(params)), jnp.asarray(gradients, jnp.float32))[1]


class AMSGrad(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_loop(self):
        ours = self.variant(lambda: trajectory(amsgrad(RATE)))()
        np.testing.assert_allclose(ours, loop(GRADIENTS), rtol=1e-6, atol=1e-7)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        many = jnp.stack([jnp.asarray(GRADIENTS, jnp.float32), jnp.asarray(-2 * GRADIENTS, jnp.float32)])
        ours = self.variant(jax.vmap(lambda g: trajectory(amsgrad(RATE), g)))(many)
        np.testing.assert_allclose(ours, [loop(GRADIENTS), loop(-2 * GRADIENTS)], rtol=1e-6, atol=1e-7)


def test_other_constants():
    ours = trajectory(amsgrad(0.1, b1=0.5, b2=0.9, eps=1e-2))
    np.testing.assert_allclose(ours, loop(GRADIENTS, 0.1, 0.5, 0.9, 1e-2), rtol=1e-5, atol=1e-6)


def test_the_first_step_is_exact():
    """The learning rate along the sign of the gradient, to the last digits of float32."""
    first = trajectory(amsgrad(RATE))[0]
    np.testing.assert_allclose(first, -RATE * np.sign(GRADIENTS[0]), rtol=5e-7)


def test_the_denominator_never_shrinks():
    """Where gradients grow it is Adam; where they shrink its steps are shorter."""
    growing = np.geomspace(0.01, 5, STEPS)[:, None, None] * np.ones((STEPS, 2, 5))
    np.testing.assert_allclose(
        trajectory(amsgrad(RATE), growing), trajectory(optax.adam(RATE), growing), rtol=1e-5
    )
    shrinking = np.concatenate([growing[::-1], np.full((400, 2, 5), 0.01)])
    ours, adam = (np.asarray(trajectory(o, shrinking)) for o in (amsgrad(RATE), optax.adam(RATE)))
    assert np.all(np.abs(ours[-1] - ours[-100]) < 0.999 * np.abs(adam[-1] - adam[-100]))


def test_optax_takes_the_maximum_over_the_corrected_average():
    """A large first gradient keeps its bias-corrected value for ever: 1000 times the uncorrected one."""
    theirs = np.asarray(trajectory(optax.amsgrad(RATE)))
    difference = np.abs(theirs - loop(GRADIENTS)).max()
    assert difference > RATE


def test_zero_gradients_leave_parameters_alone():
    np.testing.assert_array_equal(trajectory(amsgrad(RATE), np.zeros((3, 2, 5))), 0)
