"""The stochastic classifier: its widths, the range of its deviations, the linear head."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.bottleneck import Bottleneck

NETWORK = Bottleneck(latent_dim=3, hidden=(6, 5), classes=4)
X = jax.random.normal(jax.random.key(0), (7, 8))
VARIABLES = NETWORK.init(jax.random.key(1), X)


def test_published_sizes():
    shapes = jax.eval_shape(Bottleneck().init, jax.random.key(0), jnp.zeros((1, 784)))["params"]
    kernels = [layer["kernel"].shape for part in shapes.values() for layer in part.values()]
    assert sorted(kernels) == sorted([(784, 1024), (1024, 1024), (1024, 512), (256, 10)])


class Values(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_deviations_are_softplus_of_a_clipped_number(self):
        encode = self.variant(lambda scale: NETWORK.apply(VARIABLES, scale * X, method="encode"))
        mu, logvar = encode(1e4)
        chex.assert_shape((mu, logvar), (7, 3))
        extremes = [2 * np.log(np.log1p(np.exp(rho))) for rho in (-1.1, 1.1)]
        np.testing.assert_allclose(np.unique(np.round(logvar, 4)), np.round(extremes, 4), atol=2e-4)
        _, logvar = encode(0.0)
        np.testing.assert_allclose(logvar, 2 * np.log(np.log(2)), rtol=1e-5)


def test_logits_are_linear_in_the_latent():
    mu, _ = NETWORK.apply(VARIABLES, X, method="encode")
    logits = NETWORK.apply(VARIABLES, X)
    layer = VARIABLES["params"]["classifier"]["layer_0"]
    np.testing.assert_allclose(logits, mu @ layer["kernel"], rtol=1e-5, atol=1e-6)
