"""What `fit` carries, and what it tries before it trains."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.train import toy
from train.devices import data_mesh
from train.task import Carry, rehearse


def test_the_state_to_evaluate_has_averaged_parameters_where_there_are_any():
    state = toy.init(jax.random.key(0))
    assert Carry(state, None).averaged() is state
    ema = jax.tree.map(lambda leaf: leaf + 1, state.params)
    averaged = Carry(state, ema).averaged()
    np.testing.assert_array_equal(averaged.params["w"], ema["w"])
    assert averaged.optimiser is state.optimiser and averaged.step is state.step


@pytest.mark.parametrize("later", ["use", "eval_step"])
def test_what_fails_after_training_fails_before_it(later):
    def fails(state, *arguments):
        return state.absent

    mesh = data_mesh()
    validation = {"image": np.zeros((1, 16, 2, 2, 1), np.uint8)}
    rehearse(toy.TASK, validation, mesh)
    with pytest.raises(AttributeError, match="absent"):
        rehearse(dataclasses.replace(toy.TASK, **{later: fails}), validation, mesh)


def test_what_is_never_computed_is_not_tried():
    rehearse(dataclasses.replace(toy.TASK, use=None), None, data_mesh())
