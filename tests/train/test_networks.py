"""Networks of one system, applied by name: collections advance in train mode alone, in the order of the calls."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmodels.layers.batch_norm import BatchNorm
from train.networks import Networks, split_collections


class Doubled(nn.Module):
    """Without collections."""

    @nn.compact
    def __call__(self, x, train):
        return x * self.param("scale", nn.initializers.constant(2.0), ())


def networks(train, x):
    modules = {"norm": BatchNorm(0.5), "doubled": Doubled()}
    split = {name: split_collections(m.init(jax.random.key(0), x, False)) for name, m in modules.items()}
    params, collections = ({name: pair[i] for name, pair in split.items()} for i in (0, 1))
    assert set(params["doubled"]) == {"scale"} and collections["doubled"] == {}
    return Networks(modules, params, collections, train)


def test_collections_advance_call_by_call_in_train_mode():
    x = jnp.asarray([[0.0], [4.0]])
    applied = networks(True, x)
    for mean in (1.0, 1.5):
        applied("norm", x)
        np.testing.assert_allclose(applied.collections["norm"]["batch_stats"]["mean"], [mean])


def test_nothing_advances_in_eval_mode():
    x = jnp.asarray([[0.0], [4.0]])
    applied = networks(False, x)
    np.testing.assert_allclose(applied("norm", x), x / np.sqrt(1 + 1e-5))
    np.testing.assert_allclose(applied.collections["norm"]["batch_stats"]["mean"], [0.0])
    np.testing.assert_allclose(applied("doubled", x), 2 * x)
    np.testing.assert_allclose(applied("doubled", x, params={"scale": jnp.asarray(3.0)}), 3 * x)
