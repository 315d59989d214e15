"""The Inception of FID: the published size, its poolings, and the blocks' shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxmodels.features.inception_fid import BlockE, InceptionFID, pooled


def test_published_size():
    """Torchvision's inception_v3 has 23,834,568 parameters without the auxiliary head, its classes 2,049,000."""
    network = InceptionFID()
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), x)
    params = flatten_dict(variables["params"])
    assert sum(leaf.size for leaf in params.values()) == 23_834_568 - 2_049_000
    assert len({path[:-2] for path in params}) == 94
    assert jax.eval_shape(network.apply, variables, x).shape == (2, 2048)


def test_poolings():
    """Means are of the pixels inside the image."""
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
    means, maxima = pooled(x), pooled(x, "max")
    for i in range(4):
        for j in range(5):
            square = np.asarray(x)[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            np.testing.assert_allclose(means[0, i, j], square.mean((0, 1)), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(maxima[0, i, j], square.max((0, 1)))


def test_the_last_block_takes_maxima_and_the_one_before_it_means():
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 4))
    variables = jax.jit(BlockE("max").init)(jax.random.key(1), x)
    by_maxima, by_means = (jax.jit(BlockE(pool).apply)(variables, x) for pool in ("max", "average"))
    assert by_maxima.shape == (1, 3, 3, 2048)
    np.testing.assert_array_equal(by_maxima[..., :-192], by_means[..., :-192])
    assert (by_maxima[..., -192:] != by_means[..., -192:]).any()
    layer = variables["params"]["branch_pool"]
    pools = np.asarray(pooled(x, "max")) @ np.asarray(layer["conv"]["kernel"])[0, 0] / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(by_maxima[..., -192:], np.maximum(pools, 0), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_features_of_images():
    """One program for images of one size; pixels that the resizing repeats change nothing."""
    network = InceptionFID(side=80)
    x = jax.random.uniform(jax.random.key(0), (2, 80, 80, 3), minval=-1)
    variables = jax.jit(network.init)(jax.random.key(1), x)
    features = jax.jit(network.apply)
    found = features(variables, x)
    assert found.shape == (2, 2048) and np.isfinite(found).all() and (found >= 0).all()
    np.testing.assert_allclose(features(variables, x[::-1]), found[::-1], rtol=1e-3, atol=1e-5)
