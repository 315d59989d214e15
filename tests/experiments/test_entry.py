"""Every experiment offers the commands what the README says that they do with it."""

import pytest

from experiments import cli
from experiments.entry import entry_named, entry_of
from train.errors import UserError
from train.run_directory import create_run

RECOMMENDERS = {"multvae_movielens", "cdae_movielens", "gru4rec_sessions", "deepstyle_fashion"}
WITHOUT_WEIGHTS = {"mi_gaussian", "mi_minimisation"}


@pytest.mark.parametrize("name", cli.EXPERIMENTS)
def test_offers(name):
    entry = entry_named(name)
    assert entry.about.name == name and issubclass(entry.config, cli.RunConfig)
    assert (entry.load_recommender is not None) == (name in RECOMMENDERS)
    assert (entry.load_autoencoder is not None) == (name == "gwae_3dshapes")
    assert (entry.stored_models is None) == (name in WITHOUT_WEIGHTS)


def test_a_run_of_an_experiment_that_there_is_not(tmp_path):
    run = create_run("of_tomorrow", {}, tmp_path / "run")
    with pytest.raises(UserError, match="of_tomorrow: is not an experiment of this version"):
        entry_of(run)
