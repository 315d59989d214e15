"""Presets, overrides and settings as JSON."""

import contextlib
import dataclasses
import json
import pathlib

import jax
import pytest

from experiments import (
    cli,
    gru4rec_sessions,
    gwae_3dshapes,
    mi_minimisation,
    multvae_movielens,
    processes,
)
from experiments.experiment import experiment_of
from train import inflation
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
        assert cli.importlib.import_module(f"experiments.{name}").EXPERIMENT.name == name


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--model.latent-dim" in text and "--train.batch-size" in text and "Total number of updates" in text
    assert inflation.HELP in text


@pytest.mark.parametrize("command", ["encode", "synthesise", "evaluate", "__main__"])
def test_the_flag_of_every_command_is_in_its_help(command, capsys):
    main = cli.importlib.import_module(f"experiments.{command}").main
    with contextlib.suppress(SystemExit):
        main() if command == "__main__" else main(["--help"])
    assert inflation.HELP in capsys.readouterr().out


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


def new_run(tmp_path):
    config = dataclasses.replace(gwae_3dshapes.QUICK, run_dir=tmp_path / "run")
    return config, cli.open_or_create(
        config, None, "gwae_3dshapes", gwae_3dshapes.EXPERIMENT.changeable(config)
    )


def test_a_start_that_fails_leaves_the_name_free(tmp_path):
    config, run = new_run(tmp_path)
    with pytest.raises(UserError), cli.training(run, config):
        raise UserError("--x", 1, "is wrong", "mend it")
    assert not run.path.exists()
    config, run = new_run(tmp_path)
    run.metrics.write_text('{"step": 1}\n')
    with pytest.raises(UserError), cli.training(run, config):
        raise UserError("--x", 1, "is wrong", "mend it")
    assert run.metrics.exists()


def test_a_stop_leaves_a_run_that_can_be_resumed(tmp_path):
    config, run = new_run(tmp_path)
    with pytest.raises(cli.Interrupted, match="--resume"), cli.training(run, config):
        raise KeyboardInterrupt
    assert (run.path / "config.json").is_file()


def test_a_run_that_lost_a_process_stays(tmp_path):
    config, run = new_run(tmp_path)
    with pytest.raises(processes.ProcessLostError), cli.training(run, config):
        raise processes.ProcessLostError("process 1 is gone")
    assert (run.path / "config.json").is_file()


@pytest.mark.parametrize("flag", ["--model.latent-dim", "--train.steps", "--seed"])
def test_numbers_beyond_any_setting(flag):
    with pytest.raises(UserError, match=f"{flag} = 4611686018427387904: is too large"):
        parse(flag, "4611686018427387904")


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 EB")])
def test_too_little_memory_is_one_line(error, monkeypatch, capsys):
    def command(_):
        raise error

    code, said = ended(command, monkeypatch, capsys)
    assert code == 2 and said.count("\n") == 1 and "more memory" in said


def resumed(run, *flags):
    argv = ["--resume", str(run.path), *flags]
    config, found = cli.parse(gwae_3dshapes.Config, gwae_3dshapes.PRESETS, "gwae_3dshapes", "doc", argv)
    return cli.open_or_create(config, found, "gwae_3dshapes", gwae_3dshapes.EXPERIMENT.changeable(config))


def test_only_settings_that_were_given_are_told_at_resume(tmp_path):
    _, run = new_run(tmp_path)
    assert resumed(run, "--train.steps", "7") == run
    with pytest.raises(UserError) as error:
        resumed(run, "--model.latent-dim", "5")
    assert "model.latent_dim was 10 and is now 5" in str(error.value)
    assert "resume" not in error.value.problem.replace("the run to resume", "") and "run_dir" not in str(
        error.value
    )


def test_data_may_move_and_may_not_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, there = tmp_path / "here.npz", tmp_path / "there.npz"
    here.write_bytes(b"some data")
    config = parse("--data.source", "npz", "--data.path", "here.npz", "--run-dir", "run")
    assert config.data.path == here
    run = cli.open_or_create(config, None, "gwae_3dshapes", gwae_3dshapes.EXPERIMENT.changeable(config))
    here.rename(there)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resumed(run, "--data.path", "../there.npz") == run
    there.write_bytes(b"other data")
    with pytest.raises(UserError, match="is not what it was when the run began"):
        resumed(run, "--data.path", str(there))


@pytest.mark.parametrize("seeds", [0, -1, 10_001, 10**9])
def test_numbers_of_seeds_that_can_not_be(seeds):
    with pytest.raises(UserError, match=r"^--seeds = "):
        cli.check(dataclasses.replace(gwae_3dshapes.QUICK, seeds=seeds))


@pytest.mark.parametrize(
    ("group", "name", "value", "told"),
    [
        ("model", "latent_dim", -4, "model.latent_dim in config.json = -4: must be at least 1"),
        ("model", "learning_rate", -1.0, "model.learning_rate in config.json = -1.0: must be above 0"),
        ("train", "batch_size", 0, "train.batch_size in config.json = 0: must be at least 2"),
        ("train", "steps", "many", "train.steps in config.json = 'many': is not a whole number"),
    ],
)
def test_a_stored_run_is_checked_like_a_new_one(tmp_path, group, name, value, told):
    _, run = new_run(tmp_path)
    run.config[group][name] = value
    with pytest.raises(UserError) as error:
        experiment_of(run)
    assert told in str(error.value) and "--" not in error.value.field


def ended(command, monkeypatch, capsys):
    monkeypatch.setattr(cli.sys, "argv", ["command"])
    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    return stop.value.code, "".join(capsys.readouterr())


def test_a_file_that_nobody_expected_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "folder").mkdir()
    code, said = ended(lambda _: (tmp_path / "folder").read_text(), monkeypatch, capsys)
    assert code == 2 and said.startswith(f"error: {tmp_path / 'folder'} can't be used (Is a directory)")


def test_devices_that_are_not_there_are_one_line(monkeypatch, capsys):
    def none():
        raise RuntimeError("Unable to initialize backend 'tpu'")

    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    monkeypatch.setattr(cli.jax, "devices", none)
    code, said = ended(lambda _: cli.find_devices(), monkeypatch, capsys)
    assert code == 2 and said.startswith("error: JAX_PLATFORMS = tpu: no such device was found (Unable")


def test_without_a_home_folder_there_is_no_cache(monkeypatch, capsys):
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", unknown)
    cli.cache_compilations()
    assert capsys.readouterr().err.count("no home folder is known here") == 1
