"""Early stopping as the official package counts."""

import numpy as np

from train.early_stopping import EarlyStopping


def test_strictly_better_resets_the_count_of_its_seed():
    stopping = EarlyStopping.start(2)
    np.testing.assert_array_equal(stopping.observe(10, np.array([1.0, 2.0])), [True, True])
    np.testing.assert_array_equal(stopping.observe(20, np.array([1.0, 1.5])), [False, True])
    assert stopping.best_step == [10, 20] and stopping.waited == [1, 0]


def test_done_when_every_seed_waited_long_enough():
    stopping = EarlyStopping.start(2)
    stopping.observe(1, np.array([1.0, 1.0]))
    stopping.observe(2, np.array([2.0, 0.5]))
    stopping.observe(3, np.array([2.0, 2.0]))
    assert not stopping.done(2) and not stopping.done(0)
    stopping.observe(4, np.array([2.0, 2.0]))
    assert stopping.done(2) and not stopping.done(0)


def test_survives_json():
    stopping = EarlyStopping.start(1)
    assert EarlyStopping.from_json(stopping.to_json()) == stopping
    stopping.observe(1, np.array([0.25]))
    assert EarlyStopping.from_json(stopping.to_json()) == stopping
