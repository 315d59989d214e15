"""What every command shares: errors as one line, presets, resuming, several processes."""

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import pathlib
import signal
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import tyro

from train.config import TrainConfig
from train.errors import UserError
from train.interrupt import Interrupted
from train.loop import NonFiniteError
from train.report import departures
from train.run_directory import RunDirectory, check_resume, create_run, open_run, update_config

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


@dataclass(frozen=True, kw_only=True)
class DistributedConfig:
    """Several processes, one per host."""

    coordinator: str = ""
    """Address of the first process as HOST:PORT, or `auto` on a TPU pod; empty for a single process."""
    processes: int = 1
    """Number of processes."""
    process: int = 0
    """Number of this process, from 0."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every experiment can be told."""

    preset: Literal["quick", "paper"] = "quick"
    """`paper`: the published constants, as the experiment says; `quick`: named departures, minutes on two CPU cores."""
    seed: int = 0
    """Number of the first seed."""
    seeds: int = 1
    """Number of training runs, with seeds seed, seed + 1, ..., in one program."""
    run_dir: Path | None = None
    """Where the run is kept (default: a new folder in runs/)."""
    resume: Path | None = None
    """Continue the run in this folder."""
    profile: bool = False
    """Write a trace of one dispatch into the run's folder profile/."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `tensorboard`)."""
    distributed: DistributedConfig = dataclasses.field(default_factory=DistributedConfig)


Config = TypeVar("Config", bound=RunConfig)
NOT_SETTINGS = ("resume", "run_dir", "profile", "tensorboard", "distributed")
"""Fields that say how to run, not what: they may differ when a run is resumed."""


@dataclass(frozen=True)
class About:
    """A line of `python -m experiments`."""

    name: str
    paper: str
    data: str
    time: str


def main(command: Callable[[Sequence[str]], None]) -> None:
    """Runs a command on sys.argv; what a user can mend ends in one line and exit code 2."""
    try:
        command(sys.argv[1:])
    except UserError as error:
        _end(f"error: {error}", 2)
    except Interrupted as stop:
        _end(str(stop), stop.exit_code)
    except NonFiniteError as error:
        _end(f"error: {error}", 1)
    except KeyboardInterrupt:
        _end("stopped; what was saved is kept, and --resume RUN_DIR continues", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _end(line: str, code: int) -> typing.NoReturn:
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)


def parse(
    config_class: type[Config], presets: Mapping[str, Config], name: str, doc: str, argv: Sequence[str]
) -> tuple[Config, RunDirectory | None]:
    """The settings of a run and, where `--resume` names one, the run itself.

    The defaults are those of the preset, or those of the run that is resumed; flags override them.

    Raises:
      UserError: the run to resume can't be read.
      SystemExit: from tyro, with code 2, for flags that don't exist or values of another type.
    """
    resume = _peek(argv, "--resume")
    run, default = None, presets.get(_peek(argv, "--preset") or "quick", presets["quick"])
    if resume is not None:
        run = open_run(Path(resume))
        if run.experiment != name:
            raise UserError(
                "--resume",
                resume,
                f"is a run of {run.experiment}",
                f"use python -m experiments.{run.experiment}",
            )
        default = from_json(config_class, run.config)
    parsed = tyro.cli(
        config_class, default=default, prog=f"python -m experiments.{name}", description=doc, args=list(argv)
    )
    return parsed, run


def _peek(argv: Sequence[str], flag: str) -> str | None:
    """The value of a flag that decides the defaults of all others."""
    for i, argument in enumerate(argv):
        if argument == flag and i + 1 < len(argv):
            return argv[i + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def prepare(config: RunConfig) -> None:
    """Joins the other processes and turns on the compilation cache, before anything touches a device.

    Raises:
      UserError: the other processes can't be joined, or an extra is not installed.
    """
    if config.tensorboard:
        require("tensorboardX", "--tensorboard", True, "tensorboard")
    join(config.distributed)
    cache_compilations()


def open_or_create(
    config: RunConfig, run: RunDirectory | None, name: str, changeable: Sequence[str]
) -> RunDirectory:
    """The run directory of a resumed run, or a new one.

    Raises:
      UserError: a resumed run was given settings that may not change, or the directory can't be made.
    """
    settings = to_json(config)
    if run is None:
        return create_run(name, settings, config.run_dir)
    # A setting that the run's version did not have yet is at its default.
    saved = to_json(from_json(type(config), run.config))
    check_resume(saved, settings, (*changeable, *NOT_SETTINGS))
    return run


@contextlib.contextmanager
def training(run: RunDirectory, config: RunConfig) -> Iterator[RunDirectory]:
    """Holds the run's lock, records permitted changes of its settings, and makes every stop say how to go on."""

    def stop(number: int, _: Any) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        with run.locked():
            unchanged = {field: run.config[field] for field in NOT_SETTINGS}
            yield update_config(run, {**to_json(config), **unchanged})
    except KeyboardInterrupt as request:
        name = request.args[0] if request.args else "SIGINT"
        raise Interrupted(name, None, run) from request
    finally:
        signal.signal(signal.SIGTERM, previous)


def join(config: DistributedConfig) -> None:
    """Connects this process to the others, before anything touches a device.

    At the end the others wait for the first process, which evaluates alone, for up to a day.

    Raises:
      UserError: the settings don't fit together, or the others can't be reached.
    """
    if not config.coordinator:
        return
    if not 0 <= config.process < max(config.processes, 1):
        raise UserError(
            "--distributed.process", config.process, f"is not in [0, {config.processes})", "count from 0"
        )
    settings: dict[str, Any] = {"shutdown_timeout_seconds": 24 * 3600}
    if config.coordinator != "auto":
        host, _, port = config.coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(
                "--distributed.coordinator", config.coordinator, "is no address", "give HOST:PORT or auto"
            )
        settings |= {
            "coordinator_address": config.coordinator,
            "num_processes": config.processes,
            "process_id": config.process,
        }
    try:
        jax.distributed.initialize(**settings)
    except (ValueError, RuntimeError) as error:
        remedy = "check that all processes were started and reach that address; `auto` works on pods alone"
        raise UserError(
            "--distributed.coordinator", config.coordinator, str(error).splitlines()[0], remedy
        ) from error


def require(package: str, flag: str, value: object, extra: str) -> None:
    """Raises UserError where an optional package is missing."""
    if importlib.util.find_spec(package) is None:
        raise UserError(flag, value, f"needs {package}, which is not installed", f"pip install '.[{extra}]'")


def cache_compilations() -> None:
    """Keeps compiled programs, so that a second start of the same program takes seconds."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(folder / "jaxmodels" / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def published(config: RunConfig, presets: Mapping[str, Config]) -> Config:
    """The published setting that a run departs from: `paper`, unless its preset is another published one."""
    return presets["paper" if config.preset == "quick" else config.preset]


def announce(config: RunConfig, run: RunDirectory, reference: RunConfig, unused: Sequence[str] = ()) -> None:
    """Says where the run is kept and how it departs from the published setting, but for settings of no use in it."""
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


def check_least(limits: Iterable[tuple[str, float, float]]) -> None:
    """Raises UserError for the first (flag, value, least) whose value is below its least."""
    for flag, value, least in limits:
        if value < least:
            raise UserError(flag, value, "is too small", f"give at least {least}")


def refuse_validation(train: TrainConfig, remedy: str) -> None:
    """Raises UserError for settings of `fit`'s own validation, where an experiment has another or none."""
    if train.evaluate_every or train.patience:
        flag = "--train.evaluate-every" if train.evaluate_every else "--train.patience"
        raise UserError(flag, train.evaluate_every or train.patience, "is of no use here", remedy)


def check_positive(values: Iterable[tuple[str, float]]) -> None:
    """Raises UserError for the first (flag, value) that is not a finite number above 0."""
    for flag, value in values:
        if not 0 < value < float("inf"):
            raise UserError(flag, value, "is not a positive number", "give one above 0")


def check(config: RunConfig) -> None:
    """Raises UserError for seeds that can't be run."""
    check_least([("--seeds", config.seeds, 1)])
    if not 0 <= config.seed < 2**31 - config.seeds:
        raise UserError("--seed", config.seed, "is out of range", "give a number from 0 to about two billion")


def settings_of(config: RunConfig, unused: Sequence[str] = ()) -> dict[str, Any]:
    """The settings that say what is run, for tables and comparisons.

    Args:
      config: of a run.
      unused: names of what the run makes no use of, such as the settings of a model that it does not train.
    """
    left_out = (*NOT_SETTINGS, "preset", *unused)
    return {name: value for name, value in to_json(config).items() if name not in left_out}


def to_json(config: Any) -> dict[str, Any]:
    """A nested dataclass as JSON holds it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def from_json(config_class: type[Config], content: Mapping[str, Any]) -> Config:
    """The inverse of `to_json`.

    Raises:
      UserError: the settings are of another version of the experiment.
    """
    hints = typing.get_type_hints(config_class)
    names = {field.name for field in dataclasses.fields(config_class)}
    if unknown := set(content) - names:
        raise UserError(
            "config.json", ", ".join(sorted(unknown)), "is no setting of this version", "start a new run"
        )

    def value(hint: Any, given: Any) -> Any:
        if dataclasses.is_dataclass(hint):
            return from_json(typing.cast(Any, hint), given)
        if isinstance(given, list):
            return tuple(given)
        wants_path = hint is Path or Path in typing.get_args(hint)
        return Path(given) if wants_path and given is not None else given

    # What a setting was before there was one, where its default is something else now.
    before = {
        f.name: f.metadata["before"] for f in dataclasses.fields(config_class) if "before" in f.metadata
    }
    return config_class(**{name: value(hints[name], given) for name, given in {**before, **content}.items()})


def load_experiment(run: RunDirectory) -> Any:
    """The module that made a run."""
    if run.experiment not in EXPERIMENTS:
        raise UserError(
            str(run.path), run.experiment, "is no experiment of this version", "use the one that made it"
        )
    return importlib.import_module(f"experiments.{run.experiment}")
