"""The convolutional features: both forms of the convolution, maxima, statistics of the batch, noise."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.domain_features import (
    BatchStatistics,
    DomainFeatures,
    as_convolution,
    as_product,
)

X = jax.random.normal(jax.random.key(0), (4, 5, 7, 3))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 3, 2))
NETWORK = DomainFeatures(channels=(4, 5), convolutions=1)


@functools.cache
def variables():
    return jax.jit(lambda: NETWORK.init(jax.random.key(2), X, False))()


class Convolution(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_the_product_is_the_convolution(self):
        """Values and gradients, and a pixel by hand."""
        for form in (as_product, as_convolution):
            out = self.variant(form)(X, KERNEL)
            expected = np.tensordot(np.asarray(X)[1, 1:4, 2:5], np.asarray(KERNEL), 3)
            np.testing.assert_allclose(out[1, 2, 3], expected, rtol=1e-4, atol=1e-5)
            corner = np.tensordot(np.asarray(X)[1, :2, :2], np.asarray(KERNEL)[1:, 1:], 3)
            np.testing.assert_allclose(out[1, 0, 0], corner, rtol=1e-4, atol=1e-5)

        def gradients(form):
            return self.variant(jax.grad(lambda x, k: jnp.sum(jnp.sin(form(x, k))), (0, 1)))(X, KERNEL)

        chex.assert_trees_all_close(gradients(as_product), gradients(as_convolution), rtol=1e-3, atol=1e-4)


def test_statistics_are_those_of_the_batch():
    out = BatchStatistics().apply({"params": {"scale": jnp.full(3, 2.0), "bias": jnp.ones(3)}}, 50 + 9 * X)
    np.testing.assert_allclose(out.mean((0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(out.std((0, 1, 2)), 2, rtol=1e-3)


def test_published_sizes():
    shapes = jax.eval_shape(
        lambda: DomainFeatures().init(jax.random.key(0), jnp.zeros((1, 28, 28, 3)), False)
    )
    kernels = [layer["kernel"].shape[2:] for name, layer in shapes["params"].items() if "Conv" in name]
    inputs = [3, 96, 96, 96, 192, 192, 192, 192, 192]
    outputs = [96] * 3 + [192] * 6
    assert sorted(kernels) == sorted(zip(inputs, outputs, strict=True))


def test_noise_and_dropout_are_for_training():
    apply = jax.jit(functools.partial(NETWORK.apply, train=True))
    rngs = [
        {"noise": jax.random.key(3 + n), "dropout": jax.random.key(9 + d)}
        for n, d in ((0, 0), (1, 0), (0, 1))
    ]
    first, other_noise, other_mask = (apply(variables(), X, rngs=one) for one in rngs)
    assert first.shape == (4, 5)
    assert np.any(first != other_noise) and np.any(first != other_mask)
    used = jax.jit(functools.partial(NETWORK.apply, train=False))(variables(), X)
    quiet = DomainFeatures((4, 5), 1, dropout=0.0, noise=0.0)
    np.testing.assert_allclose(quiet.apply(variables(), X, True, rngs=rngs[0]), used, rtol=1e-4, atol=1e-5)
    with pytest.raises(Exception, match="PRNG"):
        NETWORK.apply(variables(), X, True)
