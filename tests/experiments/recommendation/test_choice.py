import json
import math

import numpy as np
import pytest

from experiments import cdae_movielens, multvae_movielens
from experiments.recommendation.choice import (
    ENOUGH,
    Curve,
    Evidence,
    announce,
    best_steps,
    read_curve,
    validation_score,
)
from train.run_directory import create_run


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(7, "session", 12), "7 sessions with 12 events to be found"),
        (Evidence(1, "user", 1), "1 user with 1 event to be found"),
        (Evidence(12_345, "user", 67_890), "12,345 users with 67,890 events to be found"),
    ],
)
def test_what_is_said(evidence, said, capsys):
    announce("the number of epochs is chosen", evidence)
    assert f"the number of epochs is chosen on {said}\n" in capsys.readouterr().err


@pytest.mark.parametrize("cases", [0, 1, 7, ENOUGH - 1, ENOUGH, 10**6])
def test_too_few_are_warned_about(cases, capsys):
    evidence = Evidence(cases, "session", 3 * cases)
    announce("a choice", evidence)
    assert ("warning: " in capsys.readouterr().err) == (cases < ENOUGH)
    assert (evidence.warning() is not None) == (cases < ENOUGH)


def test_the_warning_says_how_wide_the_interval_is():
    assert "0.50" in str(Evidence(4, "user", 9).warning())


STRONG, WEAK = multvae_movielens.SETTING, cdae_movielens.SETTING


def test_the_score_is_of_each_seeds_best_or_of_one_step_for_all():
    curve = Curve(np.array([3, 6, 9]), np.array([[0.5, 0.25, 0.0], [0.0, 0.5, 0.25]]))
    assert validation_score(curve, STRONG) == 0.5
    assert validation_score(curve, WEAK) == 0.375 and best_steps(curve) == 6


@pytest.mark.parametrize("setting", [STRONG, WEAK])
def test_what_was_never_evaluated_has_no_score(setting, tmp_path):
    """As of weights from elsewhere."""
    curve = read_curve(create_run("cdae_movielens", {}, tmp_path / "run"), setting.criterion)
    assert math.isnan(validation_score(curve, setting)) and np.isnan(curve.best()).all()


def test_the_curve_of_a_run_that_was_resumed_by_this_version(tmp_path):
    """Earlier ones logged minus the criterion, as a loss."""
    found = create_run("cdae_movielens", {}, tmp_path / "run")
    lines = [{"step": 1, "validation/loss": [-0.25]}, {"step": 2, "validation/map@10": [0.5]}]
    found.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = read_curve(found, "map@10")
    assert curve.steps.tolist() == [1, 2] and curve.values.tolist() == [[0.25, 0.5]]
