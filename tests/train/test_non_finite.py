"""The input is blamed where it is the cause, and nothing where it is not."""

import jax.numpy as jnp
import numpy as np
import pytest

from train.non_finite import NonFiniteError, cause_in
from train.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.0, 1.0], ""),
        ([1e38], "reach 1e+38, whose squares"),
        ([-1e38, 0.0], "reach 1e+38"),
        ([np.nan, 1.0], "hold NaN or infinity"),
        ([np.inf], "hold NaN or infinity"),
        ([], ""),
    ],
)
def test_the_cause_in_the_data(values, told):
    batch = {"x": jnp.asarray(values, jnp.float32), "label": jnp.asarray([2**30])}
    cause = cause_in(batch)
    assert (told in cause) and bool(cause) == bool(told)


def test_the_message_names_the_cause_alone(tmp_path):
    run = RunDirectory(tmp_path, "e", {}, {})
    assert "learning-rate" in str(NonFiniteError(3, "loss", 0, [], run))
    said = str(NonFiniteError(3, "loss", 0, [2], run, "The training data reach 1e+38."))
    assert "learning-rate" not in said and said.endswith("The training data reach 1e+38.")
    assert "checkpoint of step 2 is intact" in said
