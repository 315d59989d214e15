"""Presets, overrides and settings as JSON."""

import dataclasses
import json
import pathlib

import pytest

from experiments import cli, gru4rec_sessions, gwae_3dshapes, mi_minimisation, multvae_movielens
from train.errors import UserError


def parse(*argv):
    return cli.parse(gwae_3dshapes.Config, gwae_3dshapes.PRESETS, "gwae_3dshapes", "doc", argv)[0]


def test_a_bare_command_is_quick_and_flags_override():
    assert parse() == gwae_3dshapes.QUICK
    assert parse("--preset", "paper") == gwae_3dshapes.PAPER
    assert parse("--preset=paper", "--train.steps", "7").train.steps == 7


@pytest.mark.parametrize("preset", gwae_3dshapes.PRESETS.values(), ids=lambda p: p.preset)
def test_settings_survive_json(preset):
    preset = dataclasses.replace(preset, run_dir=pathlib.Path("a/b"))
    content = json.loads(json.dumps(cli.to_json(preset)))
    assert cli.from_json(gwae_3dshapes.Config, content) == preset


def test_settings_of_another_version_are_named():
    content = cli.to_json(gwae_3dshapes.QUICK) | {"novelty": 1}
    with pytest.raises(UserError, match="novelty"):
        cli.from_json(gwae_3dshapes.Config, content)


def test_every_experiment_is_listed_with_its_name():
    for name in cli.EXPERIMENTS:
        assert cli.importlib.import_module(f"experiments.{name}").ABOUT.name == name


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--model.latent-dim" in text and "--train.batch-size" in text and "Updates in all" in text


@pytest.mark.parametrize(
    ("experiment", "changes", "left_out"),
    [
        (gru4rec_sessions, {"losses": ("xe", "top1-max")}, {"bpr_max", "bpr", "top1"}),
        (multvae_movielens, {"models": ("vae",)}, {"dae"}),
        (multvae_movielens, {"models": ("dae", "vae")}, set()),
        (mi_minimisation, {"parts": ("bottleneck",)}, {"gaussians", "estimates", "adaptation", "methods"}),
    ],
)
def test_departures_tell_nothing_of_what_is_not_trained(experiment, changes, left_out):
    config = dataclasses.replace(experiment.QUICK, **changes)
    told = cli.settings_of(config, experiment.unused(config))
    assert set(cli.settings_of(config)) - set(told) == left_out
