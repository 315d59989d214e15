"""The programs of a training run on a toy task: dispatches, seeds, devices, validation, averages."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train import toy
from tests.train.toy_runs import CONFIG, losses, one_device, run_at, train, weights
from train import item_shards
from train.devices import data_mesh, item_mesh
from train.loop import fit
from train.metrics_log import read_metrics


def test_chunking_does_not_change_the_result(tmp_path):
    together, _ = train(tmp_path / "a")
    single, _ = train(tmp_path / "b", dataclasses.replace(CONFIG, inner_steps=1))
    np.testing.assert_array_equal(weights(together), weights(single))


def test_data_on_the_host_give_the_same_training_as_on_the_device(tmp_path):
    device, _ = train(tmp_path / "a", seeds=2)
    host, _ = train(tmp_path / "b", seeds=2, device_bytes=0)
    np.testing.assert_array_equal(weights(device), weights(host))


def test_seeds_together_are_the_single_runs(tmp_path):
    _, together = train(tmp_path / "all", seeds=4, first_seed=3)
    for i in range(4):
        _, single = train(tmp_path / str(i), first_seed=3 + i)
        np.testing.assert_allclose(losses(together)[:, i], losses(single).reshape(-1), rtol=1e-4)


def test_eight_devices_give_the_losses_of_one(tmp_path):
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    _, one = train(tmp_path / "one")
    _, eight = train(tmp_path / "eight", mesh=data_mesh())
    np.testing.assert_allclose(losses(eight), losses(one), rtol=1e-5)


def test_a_state_that_is_divided_over_devices_trains_and_resumes_as_on_one(tmp_path):
    whole, _ = train(tmp_path / "a")
    mesh = item_mesh("data=2,items=4")
    task = dataclasses.replace(toy.TASK, partition=lambda state: item_shards.partition(state, 4))
    run = run_at(tmp_path / "b")
    train(tmp_path, dataclasses.replace(CONFIG, steps=12), task, mesh, run=run)
    parts, _ = train(tmp_path, task=task, mesh=mesh, run=run)
    assert {shard.data.shape for shard in parts.last.params["w"].addressable_shards} == {(1, 1)}
    np.testing.assert_allclose(weights(parts), weights(whole), rtol=1e-5)


def test_validation_counts_the_real_examples_of_padded_batches(tmp_path):
    def padded(state, batch, key):
        return {"loss": state.step * 0.0 + batch["value"], "weight": batch["real"]}

    task, mesh = dataclasses.replace(toy.TASK, eval_step=padded), one_device()
    config = dataclasses.replace(CONFIG, steps=6)
    feed, _, keys = toy.inputs(mesh, config, 1, 0, 10**9)
    batches = {"value": jnp.asarray([1.0, 4.0]), "real": jnp.asarray([10.0, 5.0])}
    run = run_at(tmp_path / "a")
    fit(task, feed, batches, keys, config, run, mesh)
    np.testing.assert_allclose(read_metrics(run.metrics)["validation/loss"][1], [[2.0]])


def test_average_follows_its_formula(tmp_path):
    config = dataclasses.replace(CONFIG, steps=5, ema_decay=0.5, inner_steps=1, evaluate_every=0)
    fitted, _ = train(tmp_path / "a", config)
    plain = [
        weights(train(tmp_path / str(n), dataclasses.replace(config, steps=n, ema_decay=0.0))[0])
        for n in range(1, 6)
    ]
    average = np.asarray(toy.init(jax.random.key(0)).params["w"])[None]
    for w in plain:
        average = 0.5 * average + 0.5 * w
    np.testing.assert_allclose(weights(fitted), average, rtol=1e-5)
