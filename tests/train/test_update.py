"""How updates are made."""

import jax.numpy as jnp
import numpy as np
import optax

from train.update import gradient_norm


def test_norm_of_a_huge_gradient_is_finite_and_of_a_broken_one_is_not():
    small = {"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(4.0)}
    np.testing.assert_allclose(gradient_norm(small), optax.tree.norm(small))
    np.testing.assert_allclose(gradient_norm({"a": jnp.full(4, 1e30)}), 2e30, rtol=1e-6)
    assert gradient_norm({"a": jnp.zeros(2)}) == 0
    for bad in (jnp.nan, jnp.inf):
        assert not np.isfinite(gradient_norm({"a": jnp.asarray([1.0, bad])}))
