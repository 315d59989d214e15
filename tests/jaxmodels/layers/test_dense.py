"""The linear layer: value, initial bounds, number formats, images."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.layers.dense import Dense


def test_value_on_the_last_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    out, variables = Dense(7).init_with_output(jax.random.key(0), x)
    params = jax.tree.map(np.asarray, variables["params"])
    np.testing.assert_allclose(out, x @ params["kernel"] + params["bias"], atol=1e-5)


def test_initial_bounds():
    params = Dense(300).init(jax.random.key(0), jnp.zeros((1, 64)))["params"]
    bound = 64**-0.5
    for leaf in jax.tree.leaves(params):
        assert 0.9 * bound < np.abs(leaf).max() <= bound
    np.testing.assert_allclose(np.std(params["kernel"]), bound / 3**0.5, rtol=0.03)


def test_bfloat16_computes_in_it_and_keeps_float32_parameters():
    out, variables = Dense(4, spectral=True, dtype=jnp.bfloat16).init_with_output(
        jax.random.key(0), jnp.ones((2, 3))
    )
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
