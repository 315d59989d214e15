"""The discriminator of codes: sizes, and that what it gives are log-probabilities."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.code_critic import CodeCritic


def test_published_size():
    shapes = jax.eval_shape(CodeCritic().init, jax.random.key(0), jnp.zeros((2, 10)))["params"]
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert size == 10 * 1000 + 1000 + 4 * (1000 * 1000 + 1000) + 1000 * 2 + 2


def test_log_probabilities_in_either_number_format():
    z = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.float32)
    for dtype, tolerance in ((jnp.float32, 1e-6), (jnp.bfloat16, 1e-6)):
        critic = CodeCritic((8, 8), dtype)
        out = critic.apply(critic.init(jax.random.key(0), z), z)
        assert out.shape == (4, 2) and out.dtype == jnp.float32
        np.testing.assert_allclose(jnp.exp(out).sum(1), 1, atol=tolerance)
