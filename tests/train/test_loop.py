"""fit on a toy task: logs, stopping and resume, early stopping, damage, poison."""

import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train import toy
from tests.train.toy_runs import CONFIG, losses, one_device, run_at, train, weights
from train.feed import HostFeed
from train.interrupt import Interrupt, Interrupted
from train.loop import NonFiniteError, fit
from train.stored_state import load_state


def test_loss_falls_and_every_step_is_logged(tmp_path):
    fitted, run = train(tmp_path / "a")
    series = losses(run)
    assert fitted.step == 23 and len(series) == 23
    assert series[-1] < series[0]


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


def test_a_run_without_its_checkpoints_says_that_it_starts_again(tmp_path, caplog):
    config = dataclasses.replace(CONFIG, steps=6)
    _, run = train(tmp_path / "a", config)
    assert not caplog.messages
    shutil.rmtree(run.checkpoints)
    train(None, config, run=run)
    assert any("6 updates were logged" in message for message in caplog.messages)
