"""Every experiment offers the commands what the README says that they do with it."""

import pytest

from experiments import cli
from experiments.experiment import experiment_named, experiment_of
from train.errors import UserError
from train.run_directory import create_run

RECOMMENDERS = {"multvae_movielens", "cdae_movielens", "gru4rec_sessions", "deepstyle_fashion"}
WITHOUT_WEIGHTS = {"mi_gaussian", "mi_minimisation"}


@pytest.mark.parametrize("name", cli.EXPERIMENTS)
def test_offers(name):
    experiment = experiment_named(name)
    assert experiment.name == name and issubclass(experiment.config, cli.RunConfig)
    assert (experiment.serving is not None) == (name in RECOMMENDERS)
    assert (experiment.systems is None) == (name in WITHOUT_WEIGHTS)


def test_a_run_of_an_experiment_that_there_is_not(tmp_path):
    run = create_run("of_tomorrow", {}, tmp_path / "run")
    with pytest.raises(UserError, match="of_tomorrow: is not an experiment of this version"):
        experiment_of(run)
