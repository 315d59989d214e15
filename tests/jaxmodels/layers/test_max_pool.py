"""2 x 2 maxima: values, odd sides, where the gradient goes."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.layers.max_pool import max_pool

X = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))


def test_each_square():
    found = jax.jit(max_pool)(X)
    assert found.shape == (2, 2, 3, 3)
    for i in range(2):
        for j in range(3):
            square = np.asarray(X)[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_array_equal(found[:, i, j], square.max((1, 2)))


def test_the_gradient_goes_to_the_largest():
    gradient = jax.jit(jax.grad(lambda x: max_pool(x).sum()))(X)
    largest = np.repeat(np.repeat(max_pool(X), 2, 1), 2, 2) == np.asarray(X)[:, :4]
    np.testing.assert_array_equal(gradient[:, :4], largest)
    assert not gradient[:, 4:].any()


def test_equal_entries_share_the_gradient():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient, np.full((1, 2, 2, 1), 0.25))
