"""What every command shares: errors as one line, presets, resuming, several processes."""

import contextlib
import dataclasses
import importlib.util
import os
import signal
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import jax
import tyro

from experiments import first_seconds, processes, streams, unions
from experiments.settings import absolute, from_json, located, paths, to_json
from train.bounds import AtLeast, Within, check_bounds
from train.config import TrainConfig
from train.errors import UserError
from train.fingerprint import check_files, fingerprints
from train.inflation import HELP, without_limit
from train.interrupt import Interrupted
from train.loop import NonFiniteError
from train.report.report import departures
from train.resume import check_resume
from train.run_directory import RunDirectory, create_run, open_run, update_config
from train.run_outputs import check_outputs, remove_untrained

EXPERIMENTS = (
    "gwae_3dshapes",
    "cada_vae_gzsl",
    "multvae_movielens",
    "cdae_movielens",
    "gru4rec_sessions",
    "deepstyle_fashion",
    "mi_gaussian",
    "mi_minimisation",
    "gaugan",
    "dagan",
)

MOST_SEEDS = 10_000
"""The most seeds of one program, which holds the states of all."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings that every experiment shares."""

    preset: Literal["quick", "paper"] = "quick"
    """`paper`: the published constants, as the experiment says; `quick`: named departures, minutes on two CPU cores."""
    seed: Annotated[int, AtLeast(0)] = 0
    """Number of the first seed."""
    seeds: Annotated[int, Within(1, MOST_SEEDS)] = 1
    """Number of training runs, with seeds seed, seed + 1, ..., in one program."""
    run_dir: Path | None = None
    """Where the run is kept (default: a new folder in runs/)."""
    resume: Path | None = None
    """Continue the run in this folder."""
    profile: bool = False
    """Write a trace of one dispatch into the run's folder profile/."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `tensorboard`)."""
    distributed: processes.DistributedConfig = dataclasses.field(default_factory=processes.DistributedConfig)


Config = TypeVar("Config", bound=RunConfig)
ConfigIn = TypeVar("ConfigIn", bound=RunConfig, contravariant=True)
NOT_SETTINGS = ("resume", "run_dir", "profile", "tensorboard", "distributed")
"""Fields that say how to run, not what: they may differ when a run is resumed."""


def main(command: Callable[[Sequence[str]], None]) -> None:
    """Runs a command on sys.argv; what a user can mend ends in one line and exit code 2."""
    try:
        first_seconds.over()
        with streams.forgiving() as output:
            command(without_limit(sys.argv[1:]))
        if output.failure is not None:
            _end(
                f"error: standard output can't be written ({output.failure.strerror}); files are complete", 1
            )
    except UserError as error:
        _end(f"error: {error}", 2)
    except Interrupted as stop:
        _end(str(stop), stop.exit_code)
    except NonFiniteError as error:
        _end(f"error: {error}", 1)
    except processes.ProcessLostError as error:
        processes.leave(f"error: {error}")
    except KeyboardInterrupt:
        _end("stopped; what was saved is kept, and --resume RUN_DIR continues", 130)
    except MemoryError:
        _end("error: these settings need more memory than there is; give smaller sizes or batches", 2)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _end("error: these settings need more memory than the device has; give smaller sizes or batches", 2)
    except OSError as error:  # of a file or folder that no reader or writer expected to be like this
        if error.filename is None:
            raise
        _end(f"error: {error.filename} can't be used ({error.strerror}); move it away, or name another", 2)


def _end(line: str, code: int) -> typing.NoReturn:
    with streams.forgiving():
        print(line, file=sys.stderr, flush=True)
    sys.exit(code)


def parse(
    config_class: type[Config], presets: Mapping[str, Config], name: str, doc: str, argv: Sequence[str]
) -> tuple[Config, RunDirectory | None]:
    """The settings of a run and, where `--resume` names one, the run itself.

    The defaults are those of the preset, or those of the run that is resumed; flags override them.

    Raises:
      UserError: the run to resume can't be read, or a flag names no member of a union of settings.
      SystemExit: from tyro, with code 2, for flags that don't exist or values of another type.
    """
    resume = unions.peek(argv, "--resume")
    run, default = None, presets.get(unions.peek(argv, "--preset") or "quick", presets["quick"])
    if resume is not None:
        run = open_run(absolute(Path(resume), "--resume"))
        if run.experiment != name:
            raise UserError(
                "--resume",
                resume,
                f"is a run of {run.experiment}",
                f"use python -m experiments.{run.experiment}",
            )
        default = dataclasses.replace(from_json(config_class, run.config), resume=None, run_dir=None)
    default = unions.chosen(default, argv)
    prog, description = f"python -m experiments.{name}", f"{doc.rstrip()}\n\n{HELP}"
    parsed = tyro.cli(
        config_class,
        default=default,
        prog=prog,
        description=description,
        args=unions.without_tags(config_class, argv),
        config=(tyro.conf.AvoidSubcommands,),
    )
    return located(parsed, default), run


def prepare(config: RunConfig) -> None:
    """Joins the other processes and turns on the compilation cache, before anything touches a device.

    Raises:
      UserError: the other processes can't be joined, or an extra is not installed.
    """
    if config.tensorboard:
        require("tensorboardX", "--tensorboard", True, "tensorboard")
    processes.join(config.distributed)
    find_devices()
    cache_compilations()


def open_or_create(
    config: RunConfig, run: RunDirectory | None, name: str, changeable: Sequence[str]
) -> RunDirectory:
    """The run directory of a resumed run, or a new one.

    Where files lie may change, what they hold may not.

    Raises:
      UserError: a resumed run was given settings or files that may not change, or the directory can't be made.
    """
    settings = to_json(config)
    places = {field: path for field, path in paths(config).items() if _is_data(field, changeable)}
    if run is None:
        return create_run(name, settings, config.run_dir, files=fingerprints(places))
    # A setting that the run's version did not have yet is at its default; how to run is not a setting.
    saved, wanted = (
        {field: value for field, value in content.items() if field not in NOT_SETTINGS}
        for content in (to_json(from_json(type(config), run.config)), settings)
    )
    check_resume(saved, wanted, (*changeable, *places, "data.cache_dir"))
    check_files(run.files, places)
    return run


def _is_data(field: str, changeable: Sequence[str]) -> bool:
    """Whether a path is of something that the run depends on."""
    if field in (*NOT_SETTINGS, "data.cache_dir"):
        return False
    return not any(f"{field}.".startswith(f"{name}.") for name in changeable)


@contextlib.contextmanager
def training(run: RunDirectory, config: RunConfig) -> Iterator[RunDirectory]:
    """Holds the run's lock, records permitted changes of its settings, and makes every stop say how to continue."""

    def stop(number: int, _: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        with run.locked(), _nothing_left(run, new=config.resume is None), processes.watched(run):
            check_outputs(run)
            kept = {field: run.config.get(field) for field in NOT_SETTINGS}
            yield update_config(run, {**to_json(config), **kept})
    except KeyboardInterrupt as request:
        name = request.args[0] if request.args else "SIGINT"
        raise Interrupted(name, None, run) from request
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def _nothing_left(run: RunDirectory, new: bool) -> Iterator[None]:
    """Removes a new run that fails before anything was trained: the corrected command can use its name."""
    try:
        yield
    except processes.ProcessLostError:
        raise  # the others are to be started again with this run
    except Exception:
        if new and jax.process_index() == 0:
            remove_untrained(run)
        raise


class NotInstalled(UserError):
    """An optional package is missing."""


def require(package: str, flag: str, value: object, extra: str) -> None:
    """Raises NotInstalled where an optional package is missing."""
    if importlib.util.find_spec(package) is None:
        raise NotInstalled(
            flag, value, f"needs {package}, which is not installed", f"pip install '.[{extra}]'"
        )


def find_devices() -> None:
    """Raises UserError where there is no device of the kind that JAX_PLATFORMS asks for."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        wanted = os.environ.get("JAX_PLATFORMS")
        if not wanted:
            raise
        reason = " ".join(str(error).split())[:120]
        problem = f"no such device was found{f' ({reason})' if reason else ''}"
        raise UserError("JAX_PLATFORMS", wanted, problem, "set it to cpu, or unset it") from error


def cache_compilations() -> None:
    """Keeps compiled programs, so that a second start of the same program takes seconds."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        except RuntimeError:
            say("no home folder is known here: compiled programs are not kept (XDG_CACHE_HOME names a place)")
            return
        jax.config.update("jax_compilation_cache_dir", str(folder / "jaxmodels" / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def announce(
    config: RunConfig, run: RunDirectory, reference: RunConfig, unused: Collection[str] = ()
) -> None:
    """Says where the run is kept and how it departs from the published setting, in what is used."""
    say(f"run directory: {run.path}")
    changed = departures(settings_of(config, unused), settings_of(reference, unused))
    if changed:
        say(f"departures from the {reference.preset} preset (--preset {config.preset}):")
        for field, (there, here) in changed.items():
            say(f"  {field}: {there} -> {here}")


def say(line: str) -> None:
    """A line of progress, from the first process."""
    if jax.process_index() == 0:
        print(line, file=sys.stderr, flush=True)


def refuse_validation(train: TrainConfig, remedy: str) -> None:
    """Raises UserError for settings of `fit`'s own validation, where an experiment has another or none."""
    refuse(train, ("evaluate_every", "patience"), remedy)


def refuse(train: TrainConfig, names: Iterable[str], remedy: str) -> None:
    """Raises UserError for the first of these settings of training that is not at 0, where it changes nothing."""
    for name in names:
        if value := getattr(train, name):
            raise UserError(f"--train.{name.replace('_', '-')}", value, "is of no use here", remedy)


def check(config: RunConfig) -> None:
    """Raises UserError for a setting of the whole run that is out of its bounds, and for seeds that are too large."""
    check_bounds(config)
    if config.seed >= 2**31 - config.seeds:
        raise UserError("--seed", config.seed, "is too large", "give a number from 0 to about two billion")


def settings_of(config: RunConfig, unused: Collection[str] = ()) -> dict[str, Any]:
    """The settings that say what is run, for tables and comparisons, without those of what is not trained."""
    left_out = {*NOT_SETTINGS, "preset", *unused}
    return {name: value for name, value in to_json(config).items() if name not in left_out}
