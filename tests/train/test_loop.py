"""fit on a toy task: seeds, resume, early stopping, averages, poison, devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.train import toy
from train import item_shards
from train.config import TrainConfig
from train.devices import data_mesh, item_mesh
from train.feed import HostFeed
from train.interrupt import Interrupt, Interrupted
from train.loop import NonFiniteError, fit, load_state, save_state
from train.metrics_log import read_metrics
from train.run_directory import create_run
from train.seeds import seed_keys

CONFIG = TrainConfig(steps=23, batch_size=8, inner_steps=4, log_every=1, evaluate_every=6, checkpoint_every=9)


def one_device():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))


def run_at(path):
    return create_run("toy", {}, path)


def train(path, config=CONFIG, task=toy.TASK, mesh=None, seeds=1, first_seed=0, device_bytes=10**9, run=None):
    mesh = mesh or one_device()
    run = run or run_at(path)
    feed, validation, keys = toy.inputs(mesh, config, seeds, first_seed, device_bytes)
    return fit(task, feed, validation, keys, config, run, mesh, first_seed=first_seed), run


def losses(run):
    return read_metrics(run.metrics)["loss"][1]


def weights(fitted):
    return np.asarray(fitted.last.params["w"])


def test_loss_falls_and_every_step_is_logged(tmp_path):
    fitted, run = train(tmp_path / "a")
    series = losses(run)
    assert fitted.step == 23 and len(series) == 23
    assert series[-1] < series[0]


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


@pytest.mark.parametrize("stop", [1, 14, *(pytest.param(n, marks=pytest.mark.slow) for n in (9, 22))])
def test_stopped_and_resumed_is_bit_for_bit_the_uninterrupted_run(tmp_path, monkeypatch, stop):
    config = dataclasses.replace(CONFIG, ema_decay=0.9)
    whole, _ = train(tmp_path / "whole", config)
    run = run_at(tmp_path / "cut")
    train(None, dataclasses.replace(config, steps=stop), run=run)
    resumed, _ = train(None, config, run=run)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.tree.map(_data, (whole.last, whole.best)),
        jax.tree.map(_data, (resumed.last, resumed.best)),
    )
    assert len(losses(run)) == 23


@dataclasses.dataclass
class Positioned:
    """A feed that must be asked for every step once, in order."""

    feed: HostFeed
    position: int = 0
    per_seed = True

    def chunk(self, step, count):
        assert step == self.position
        self.position += count
        return self.feed.chunk(step, count)

    def batch(self, chunk, order_key, step, offset):
        return self.feed.batch(chunk, order_key, step, offset)

    def state(self):
        return {"position": self.position}

    def restore(self, state):
        self.position = state["position"]


def test_the_position_of_a_feed_is_saved_and_restored(tmp_path):
    run = run_at(tmp_path / "run")
    for steps in (14, 23):
        feed, validation, keys = toy.inputs(one_device(), CONFIG, device_bytes=0)
        config, positioned = dataclasses.replace(CONFIG, steps=steps), Positioned(feed)
        fit(toy.TASK, positioned, validation, keys, config, run, one_device())
        assert positioned.position == steps


def _data(leaf):
    return np.asarray(
        jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    )


def test_interrupted_saves_and_says_how_to_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(Interrupt, "__enter__", _asked)
    run = run_at(tmp_path / "a")
    with pytest.raises(Interrupted, match="--resume"):
        train(None, run=run)
    monkeypatch.undo()
    resumed, _ = train(None, run=run)
    whole, _ = train(tmp_path / "b")
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def _asked(interrupt):
    interrupt.requested = "SIGTERM"
    return interrupt


def test_not_finite_names_step_term_and_seed_and_keeps_the_checkpoint(tmp_path):
    task = dataclasses.replace(toy.TASK, train_step=functools.partial(toy.train_step, poison=15))
    run = run_at(tmp_path / "a")
    with pytest.raises(NonFiniteError, match=r"loss of seed 7 .* step 15; the checkpoint of step 9"):
        train(None, task=task, run=run, first_seed=7)
    resumed, _ = train(None, run=run, first_seed=7)
    whole, _ = train(tmp_path / "b", first_seed=7)
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_damaged_newest_checkpoint_is_skipped(tmp_path, caplog):
    whole, _ = train(tmp_path / "whole")
    run = run_at(tmp_path / "a")
    train(None, dataclasses.replace(CONFIG, steps=18), run=run)
    newest = run.checkpoints / "last" / "18"
    for file in (f for f in newest.rglob("*") if f.is_file()):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    resumed, _ = train(None, run=run)
    assert "18" in caplog.text
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_early_stopping_ends_the_run_and_best_is_kept(tmp_path):
    def worse(state, batch, key):
        return {"loss": -1.0 + 0.1 * state.step}

    task = dataclasses.replace(toy.TASK, eval_step=worse)
    config = dataclasses.replace(CONFIG, steps=1000, patience=2)
    fitted, run = train(tmp_path / "a", config, task)
    assert fitted.step == 18
    best = load_state(task, toy.inputs(one_device(), config)[2], config, run, "best")
    np.testing.assert_array_equal(best.step, [6])
    np.testing.assert_array_equal(fitted.best.params["w"], best.params["w"])


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


def test_a_state_that_is_divided_over_devices_trains_and_resumes_as_on_one(tmp_path):
    whole, _ = train(tmp_path / "a")
    mesh = item_mesh("data=2,items=4")
    task = dataclasses.replace(toy.TASK, partition=lambda state: item_shards.partition(state, 4))
    run = run_at(tmp_path / "b")
    train(tmp_path, dataclasses.replace(CONFIG, steps=12), task, mesh, run=run)
    parts, _ = train(tmp_path, task=task, mesh=mesh, run=run)
    assert {shard.data.shape for shard in parts.last.params["w"].addressable_shards} == {(1, 1)}
    np.testing.assert_allclose(weights(parts), weights(whole), rtol=1e-5)


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


def test_overflow_in_the_optimiser_is_never_saved(tmp_path):
    def overflow(state, batch):
        state, metrics = toy.train_step(state, batch)
        spoilt = jax.tree.map(lambda a: a * np.inf if a.dtype == np.float32 else a, state.optimiser)
        return state.replace(
            optimiser=jax.tree.map(lambda a, b: jnp.where(state.step > 10, a, b), spoilt, state.optimiser)
        ), metrics

    task = dataclasses.replace(toy.TASK, train_step=overflow)
    run = run_at(tmp_path / "a")
    with pytest.raises(
        NonFiniteError, match=r"optimiser.* of seed 0 is not finite at step 18; the checkpoint of step 9"
    ):
        train(None, task=task, run=run)


def damage(folder):
    for file in (file for file in folder.rglob("*") if file.is_file()):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_walking_far_back_still_finds_the_best_state_that_belongs_there(tmp_path):
    config = dataclasses.replace(CONFIG, steps=27, evaluate_every=3)
    task = dataclasses.replace(toy.TASK, eval_step=lambda state, batch, key: {"loss": -1.0 * state.step})
    whole, _ = train(tmp_path / "whole", dataclasses.replace(config, steps=30), task)
    run = run_at(tmp_path / "cut")
    train(None, config, task, run=run)
    for step in (18, 27):
        damage(run.checkpoints / "last" / str(step))
    resumed, _ = train(None, dataclasses.replace(config, steps=30), task, run=run)
    for ours, theirs in ((resumed.last, whole.last), (resumed.best, whole.best)):
        np.testing.assert_array_equal(ours.params["w"], theirs.params["w"])


def test_damaged_best_checkpoint_is_named_and_the_run_continues(tmp_path, caplog):
    whole, _ = train(tmp_path / "whole")
    run = run_at(tmp_path / "cut")
    train(None, dataclasses.replace(CONFIG, steps=18), run=run)
    for folder in (run.checkpoints / "best").iterdir():
        damage(folder)
    resumed, _ = train(None, run=run)
    assert "best state so far is lost" in caplog.text
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_validation_loss_that_is_not_finite_stops_the_run(tmp_path):
    task = dataclasses.replace(toy.TASK, eval_step=lambda state, batch, key: {"loss": jnp.nan * state.step})
    with pytest.raises(NonFiniteError, match=r"validation/loss of seed 0 .* step 6"):
        train(tmp_path / "a", task=task)


@pytest.mark.slow
def test_profile_writes_a_trace(tmp_path):
    mesh, run = one_device(), run_at(tmp_path / "a")
    feed, validation, keys = toy.inputs(mesh, CONFIG)
    fit(toy.TASK, feed, validation, keys, CONFIG, run, mesh, profile=True, tensorboard=True)
    assert list((run.path / "profile").rglob("*.trace.json.gz"))
    assert list((run.path / "tensorboard").iterdir())


def test_a_state_from_elsewhere_is_loaded_and_trained_on(tmp_path):
    config, run, keys = dataclasses.replace(CONFIG, ema_decay=0.9), run_at(tmp_path / "a"), seed_keys(0, 1)
    state = jax.vmap(toy.init)(keys)
    save_state(state, config, run)
    for which in ("last", "best"):
        found = load_state(toy.TASK, keys, config, run, which)
        np.testing.assert_array_equal(found.params["w"], state.params["w"])
    resumed, _ = train(None, config, run=run)
    fresh, _ = train(tmp_path / "b", config)
    np.testing.assert_array_equal(weights(resumed), weights(fresh))
