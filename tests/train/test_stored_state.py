"""States of checkpoints outside of training."""

import dataclasses

import jax
import numpy as np

from tests.train import toy
from tests.train.toy_runs import CONFIG, run_at, train, weights
from train.seeds import seed_keys
from train.stored_state import load_state, save_state


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
