"""What `fit` carries."""

import jax
import numpy as np

from tests.train import toy
from train.task import Carry


def test_the_state_to_evaluate_has_averaged_parameters_where_there_are_any():
    state = toy.init(jax.random.key(0))
    assert Carry(state, None).averaged() is state
    ema = jax.tree.map(lambda leaf: leaf + 1, state.params)
    averaged = Carry(state, ema).averaged()
    np.testing.assert_array_equal(averaged.params["w"], ema["w"])
    assert averaged.optimiser is state.optimiser and averaged.step is state.step
