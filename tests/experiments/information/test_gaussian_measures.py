"""Estimates summed up as the notebook of CLUB does (the logs: test_mi_gaussian)."""

import math

import numpy as np
import pytest

from experiments.information import gaussian_measures as measures
from train.errors import UserError
from train.run_directory import RunDirectory


def test_summary_of_estimates_is_that_of_the_notebook():
    estimates = np.arange(12.0)[:, None] ** 2
    mean, variance = measures.summarise(estimates, 2, 3)
    np.testing.assert_allclose(mean, [[np.mean([9, 16, 25]), np.mean([81, 100, 121])]])
    np.testing.assert_allclose(variance, [[np.var([9, 16, 25]), np.var([81, 100, 121])]])
    assert math.isclose(float(mean[0, 0]), 50 / 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds a list of 0"),
        ("null", "holds null"),
        ("{", "can't be read"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"seconds": "3", "diverged": ""}', "'seconds' = '3'"),
        ('{"seconds": -3, "diverged": ""}', "'seconds' = -3"),
        ('{"seconds": 1e999, "diverged": ""}', "'seconds' = inf"),
        ('{"seconds": 3}', "has no 'diverged'"),
        ('{"seconds": 3, "diverged": null}', "'diverged' = null"),
    ],
)
def test_an_altered_end_is_one_clear_error(content, message, tmp_path):
    run, stage = RunDirectory(tmp_path, "mi_gaussian", {}, {}), measures.Stage("gaussian", "club/club", 3)
    assert measures.read_end(run, stage) is None
    (tmp_path / stage.folder).mkdir(parents=True)
    measures.write_end(run, stage, measures.End(3.5, "at step 2"))
    assert measures.read_end(run, stage) == measures.End(3.5, "at step 2")
    (tmp_path / stage.folder / "end.json").write_text(content)
    with pytest.raises(UserError, match=message) as error:
        measures.read_end(run, stage)
    assert "end.json" in str(error.value) and "--resume" in str(error.value)
