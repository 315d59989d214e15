"""Batches divide over eight devices without changing what the step computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from train.devices import across_devices, data_mesh, on_any_mesh, replicated, split, use_mesh


def test_without_a_mesh_nothing_happens():
    x = jnp.ones(3)
    assert across_devices(x) is x


@pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")
def test_batch_is_divided_and_the_mean_is_global():
    mesh = data_mesh()

    @jax.jit
    def step(x):
        x = across_devices(x)
        return x, jnp.mean(x)

    with use_mesh(mesh):
        divided, mean = step(jnp.arange(16.0))
    assert len({str(shard.index) for shard in divided.addressable_shards}) == 8
    assert mean == 7.5


def test_shardings():
    mesh = data_mesh()
    whole = jax.device_put(np.ones((8, 2)), replicated(mesh))
    assert all(shard.data.shape == (8, 2) for shard in whole.addressable_shards)
    parts = jax.device_put(np.ones((2, 8)), split(mesh, axis=1))
    assert {shard.data.shape for shard in parts.addressable_shards} == {(2, 8 // mesh.size)}


def test_a_batch_that_does_not_divide_stays_whole():
    with use_mesh(data_mesh()):
        out = jax.jit(across_devices)(jnp.arange(50.0))
    assert all(shard.data.shape == (50,) for shard in out.addressable_shards)
    np.testing.assert_array_equal(out, np.arange(50.0))


@pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")
def test_a_step_takes_a_batch_that_the_caller_divides_over_explicit_axes():
    """Without `on_any_mesh` the sort of rows and the product of pairs are refused; the state's division stays."""

    @jax.jit
    @on_any_mesh
    def step(state, batch, factor):
        pairs = batch[:, None] - jnp.sort(batch[::-1])[None]
        return {name: value + factor * pairs.sum() for name, value in state.items()}, {"loss": pairs[0]}

    batch, state = np.arange(8.0), {"w": np.ones((4, 2)), "b": np.zeros(3)}
    expected, metrics = step(state, batch, 2.0)
    with jax.set_mesh(jax.make_mesh((4, 2), ("rows", "features"), axis_types=(AxisType.Explicit,) * 2)):
        divided = {**state, "w": jax.device_put(state["w"], PartitionSpec(None, "features"))}
        found, said = step(divided, jax.device_put(batch, PartitionSpec("rows")), 2.0)
        assert found["w"].sharding.spec == PartitionSpec(None, "features")
        assert said["loss"].sharding.is_fully_replicated
    np.testing.assert_allclose(found["w"], expected["w"])
    np.testing.assert_allclose(said["loss"], metrics["loss"])
