"""What the visual recommenders are fed, and what validates them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.recommendation.fashion_training import catalogue, feed, task, validation_batch
from train.data import interactions
from train.data.fashion import FashionData, split
from train.devices import data_mesh
from train.steps.visual_recommenders import VisualConfig


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(9), 7), np.concatenate([rng.permutation(20)[:7] for _ in range(9)])
    features, categories = (
        rng.random((20, 5)).astype(np.float32),
        rng.integers(0, 3, (20, 1)).astype(np.int32),
    )
    return FashionData("some", features, categories, ("a", "b", "c"), *split(user, item, 20, None, 0)[:3])


def test_an_epoch_is_every_training_record_once(data):
    fed = feed(data, 5, data_mesh())
    batch = jax.jit(lambda step: fed.batch(fed.chunk(0, 1), jax.random.key(0), step, step))
    batches = [batch(jnp.int32(step)) for step in range(9)]
    pairs = np.concatenate([np.stack([b.user, b.positive], 1) for b in batches])
    expected = np.stack(interactions.pairs(data.train), 1)
    assert sorted(map(tuple, pairs.tolist())) == sorted(map(tuple, expected.tolist()))
    np.testing.assert_array_equal(batches[0].catalogue.features, data.features)
    np.testing.assert_array_equal(np.diff(batches[0].seen.starts), np.diff(data.train.indptr))


def test_validation_is_the_mean_auc_of_the_kept_records(data):
    what = task(VisualConfig(kind="deepstyle", factors=4, visual_factors=2), data, "strict")
    state = jax.jit(what.init)(jax.random.key(0))
    batch = jax.tree.map(lambda a: a[0], validation_batch(data))
    auc = jax.jit(what.eval_step)(state, batch, jax.random.key(1))["AUC"]
    params, seen = jax.device_get(state.params), catalogue(data)
    style = seen.features @ params["E"] - params["l_c"][data.categories[:, 0]]
    scores = params["p_u"] @ (np.asarray(style) + params["q_i"]).T
    expected = []
    for user, (item,) in enumerate(data.validation):
        unseen = np.setdiff1d(np.arange(20), data.known()[[user]].indices)
        expected.append(np.mean(scores[user, unseen] < scores[user, item]))
    np.testing.assert_allclose(auc, np.mean(expected), rtol=1e-5)
