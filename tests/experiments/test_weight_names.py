"""Our own names of weights: there and back, and what belongs to something else."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.weight_names import own


class State(SimpleNamespace):
    def replace(self, **changes):
        return State(**{**vars(self), **changes})


STATE = State(
    params={"encoder": {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}, "scale": jnp.zeros(())},
    collections={"encoder": {"batch_stats": {"mean": jnp.zeros(4)}}, "prior": {}},
    step=jnp.int32(7),
)
GIVEN = {
    "encoder/kernel": np.arange(6.0).reshape(2, 3),
    "encoder/bias": np.ones(3),
    "scale": np.float64(2),
    "collections/encoder/batch_stats/mean": np.arange(4.0),
}


def test_there_and_back():
    state = own().insert(STATE, GIVEN)
    np.testing.assert_array_equal(state.params["encoder"]["kernel"], GIVEN["encoder/kernel"])
    assert state.params["scale"].dtype == jnp.float32 and state.step == 7
    exported = own().export(state)
    assert set(exported) == set(GIVEN)
    for name, array in GIVEN.items():
        np.testing.assert_array_equal(exported[name], array)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"encoder/bias": np.ones(4)}, r"'encoder/bias' has shape \(4,\), the model's has \(3,\)"),
        ({"encoder/bias": None}, "no 'encoder/bias'"),
        ({"decoder": np.ones(1)}, "decoder belong to nothing"),
    ],
)
def test_weights_of_something_else(changes, expected):
    given = {name: array for name, array in (GIVEN | changes).items() if array is not None}
    with pytest.raises(ValueError, match=expected):
        own().insert(STATE, given)
