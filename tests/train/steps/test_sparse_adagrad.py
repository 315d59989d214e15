"""Adagrad with the small number inside the root, and its sparse form against a dense one and a loop over rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.steps.sparse_adagrad import Adagrad, Moments, adagrad_rows, adagrad_tree, init_adagrad

HOW = Adagrad(0.2, 0.3)
ITEMS, WIDTH = 9, 3


def dense(theta, acc, velocity, g, how=HOW):
    """The formula, with NumPy."""
    acc = acc + g**2
    velocity = how.momentum * velocity - how.learning_rate * g / np.sqrt(acc + 1e-6)
    return theta + velocity, acc, velocity


def test_three_steps_of_a_tree():
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((2, 3)), jnp.float32), "b": {"c": jnp.zeros(4)}}
    moments = init_adagrad(params, HOW.momentum)
    expected = {"w": (np.float64(params["w"]), 0, 0), "c": (np.zeros(4), 0, 0)}
    for _ in range(3):
        g = {"w": rng.standard_normal((2, 3)), "b": {"c": 1e-3 * rng.standard_normal(4)}}
        params, moments = adagrad_tree(params, moments, jax.tree.map(jnp.asarray, g), HOW)
        expected = {"w": dense(*expected["w"], g["w"]), "c": dense(*expected["c"], g["b"]["c"])}
    np.testing.assert_allclose(params["w"], expected["w"][0], rtol=1e-5)
    np.testing.assert_allclose(params["b"]["c"], expected["c"][0], rtol=1e-5)
    np.testing.assert_allclose(moments["b"]["c"].acc, expected["c"][1], rtol=1e-5)
    np.testing.assert_allclose(moments["w"].velocity, expected["w"][2], rtol=1e-5)


@pytest.mark.parametrize("how", [HOW, Adagrad(0.2)])
def test_rows_are_the_dense_step_on_summed_gradients_and_others_stand_still(how):
    """Rows 2 and 5 occur several times; 9, twice, is not a row."""
    rng = np.random.default_rng(1)
    table = jnp.asarray(rng.standard_normal((ITEMS, WIDTH)), jnp.float32)
    acc, velocity = (jnp.asarray(rng.random((ITEMS, WIDTH)), jnp.float32) for _ in range(2))
    rows = np.array([5, 2, 0, 2, 9, 5, 5, 9, 8])
    gradient = rng.standard_normal((len(rows), WIDTH)).astype(np.float32)
    moments = Moments(acc, velocity if how.momentum else None)
    step = jax.jit(lambda t, m, r, g: adagrad_rows(t, m, r, g, how))
    new, after = step(table, moments, jnp.asarray(rows), jnp.asarray(gradient))
    for row in range(ITEMS):
        g = gradient[rows == row].sum(0)
        if not (rows == row).any():
            np.testing.assert_array_equal(new[row], table[row])
            np.testing.assert_array_equal(after.acc[row], acc[row])
            if how.momentum:
                np.testing.assert_array_equal(after.velocity[row], velocity[row])
            continue
        ours = dense(*(np.float64(a[row]) for a in (table, acc, velocity)), g, how)
        np.testing.assert_allclose(new[row], ours[0], rtol=1e-5)
        np.testing.assert_allclose(after.acc[row], ours[1], rtol=1e-5)
        if how.momentum:
            np.testing.assert_allclose(after.velocity[row], ours[2], rtol=1e-5)


def test_looked_up_rows_move_by_momentum_without_a_gradient():
    table, velocity = jnp.zeros((4, 2)), jnp.ones((4, 2))
    moments = Moments(jnp.zeros((4, 2)), velocity)
    new, after = adagrad_rows(table, moments, jnp.asarray([1]), jnp.zeros((1, 2)), HOW)
    np.testing.assert_allclose(new[:, 0], [0, 0.3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(after.velocity[:, 0], [1, 0.3, 1, 1], rtol=1e-6)


def test_a_table_of_one_number_per_row():
    moments = init_adagrad(jnp.zeros(5), 0.0)
    new, after = adagrad_rows(jnp.zeros(5), moments, jnp.asarray([3, 3, 0]), jnp.ones(3), Adagrad(1.0))
    np.testing.assert_allclose(new, [-1, 0, 0, -1, 0], rtol=1e-5)
    np.testing.assert_allclose(after.acc, [1, 0, 0, 4, 0])
