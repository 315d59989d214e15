"""Items divided over devices: values, gradients and order are those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from train import item_shards
from train.devices import item_mesh, use_mesh
from train.errors import UserError

MESHES = ("data=4,items=2", "data=1,items=8", "items=8")
LOGITS = jnp.asarray(np.random.default_rng(0).normal(0, 3, (8, 48)), jnp.float32)
pytestmark = pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")


def on(mesh, fn, *args):
    with use_mesh(item_mesh(mesh)):
        return jax.jit(fn)(*args)


@pytest.mark.parametrize("mesh", MESHES)
def test_log_normaliser_and_its_gradient(mesh):
    def loss(logits):
        return jnp.sum(jnp.sin(item_shards.log_normaliser(logits, 45)))

    def plain(logits):
        return jnp.sum(jnp.sin(jax.nn.logsumexp(logits[:, :45], axis=1)))

    value, gradient = on(mesh, jax.value_and_grad(loss), LOGITS)
    wanted, wanted_gradient = jax.value_and_grad(plain)(LOGITS)
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted_gradient, atol=1e-6)
    assert np.all(np.isfinite(on(mesh, jax.grad(loss), 1e4 * LOGITS)))


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("k", [5, 12, 48])
def test_top_k_with_ties(mesh, k):
    scores = (jnp.round(LOGITS / 3) + 0.0).at[:, 7].set(-jnp.inf)
    values, items = on(mesh, lambda s: item_shards.top_k(s, k, 46), scores)
    wanted = np.argsort(-np.asarray(scores.at[:, 46:].set(-jnp.inf)), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(items, wanted)
    np.testing.assert_array_equal(values[:, :5], np.take_along_axis(np.asarray(scores), wanted, 1)[:, :5])


@pytest.mark.parametrize("mesh", MESHES)
def test_multi_hot_and_columns(mesh):
    ids = jnp.asarray(np.random.default_rng(1).permuted(np.tile(np.arange(64), (8, 1)), axis=1)[:, :20])
    rows = on(mesh, lambda ids: item_shards.multi_hot(ids, 48), ids)
    wanted = np.zeros((8, 48))
    for row, own in enumerate(np.asarray(ids)):
        wanted[row, own[own < 48]] = 1
    np.testing.assert_array_equal(rows, wanted)
    inside = jnp.minimum(ids, 47)
    found = on(mesh, item_shards.columns, LOGITS, inside)
    np.testing.assert_array_equal(found, np.take_along_axis(np.asarray(LOGITS), np.asarray(inside), 1))


def test_a_batch_that_does_not_divide():
    got = on("data=4,items=2", item_shards.log_normaliser, LOGITS[:3])
    np.testing.assert_allclose(got, jax.nn.logsumexp(LOGITS[:3], axis=1), rtol=1e-6)


def test_plain_without_the_axis():
    assert item_shards.shards() == 1
    np.testing.assert_array_equal(item_shards.multi_hot(jnp.asarray([[1, 5]]), 3), [[0, 1, 0]])


def test_state_of_items_is_padded_and_divided():
    state = {"in": jnp.ones((46, 4)), "out": jnp.ones((4, 46)), "bias": jnp.ones(4)}
    width = item_shards.padded(46, 8)
    grown = item_shards.pad_items(state, 46, width)
    assert {name: leaf.shape for name, leaf in grown.items()} == {"in": (48, 4), "out": (4, 48), "bias": (4,)}
    assert float(grown["out"][:, 46:].sum()) == 0
    jax.tree.map(np.testing.assert_array_equal, item_shards.cut_items(grown, width, 46), state)
    divided = {"in": PartitionSpec("items"), "out": PartitionSpec(None, "items"), "bias": PartitionSpec()}
    with use_mesh(item_mesh("items=8")):
        assert item_shards.partition(grown, width) == divided
    assert set(item_shards.partition(grown, width).values()) == {PartitionSpec()}


@pytest.mark.parametrize(
    "shape", ["items", ",", "data=3,items=2", "data=4items=2", "rows=8", "data=4 items=2"]
)
def test_wrong_meshes(shape):
    with pytest.raises(UserError, match="--mesh"):
        item_mesh(shape)
