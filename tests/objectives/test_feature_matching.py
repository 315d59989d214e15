"""Feature matching by hand, against the official code, and where its gradient goes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.feature_matching import feature_matching

RNG = np.random.default_rng(0)
SHAPES = [[(2, 4, 4, 3), (2, 2, 2, 5)], [(2, 3, 2, 2)]]


def features():
    return [[jnp.asarray(RNG.standard_normal(s), jnp.float32) for s in scale] for scale in SHAPES]


FAKE, REAL = features(), features()


class FeatureMatching(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_by_hand(self):
        """The mean of every stage, their sum, over the number of discriminators."""
        pairs = [(f, r) for fs, rs in zip(FAKE, REAL, strict=True) for f, r in zip(fs, rs, strict=True)]
        expected = sum(np.abs(np.asarray(f) - np.asarray(r)).mean() for f, r in pairs) / 2
        np.testing.assert_allclose(self.variant(feature_matching)(FAKE, REAL), expected, rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        stacked = [jax.tree.map(lambda a: jnp.stack([a, 2 * a]), side) for side in (FAKE, REAL)]
        out = self.variant(jax.vmap(feature_matching))(*stacked)
        np.testing.assert_allclose(out, feature_matching(FAKE, REAL) * jnp.asarray([1.0, 2.0]), rtol=1e-6)


def test_equal_features_cost_nothing():
    assert feature_matching(FAKE, FAKE) == 0


def test_no_gradient_to_the_real_features():
    of_fake, of_real = jax.jit(jax.grad(feature_matching, (0, 1)))(FAKE, REAL)
    for scale, reals, fakes in zip(of_fake, REAL, FAKE, strict=True):
        for gradient, real, fake in zip(scale, reals, fakes, strict=True):
            np.testing.assert_allclose(
                gradient, np.sign(np.asarray(fake) - np.asarray(real)) / fake.size / 2, rtol=1e-6
            )
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(of_real))


def test_sides_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        feature_matching(FAKE, REAL[:1])
