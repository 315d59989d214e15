"""What an experiment is to the house, and a system of it to the commands on runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

import jax
from jax.sharding import Mesh

from experiments import cli, unions
from experiments.settings import REMEDY
from experiments.weight_names import Names
from train import devices, seeds
from train.config import TrainConfig
from train.errors import UserError
from train.run_directory import RunDirectory
from train.stored_state import Which, load_state
from train.task import State, Task

if TYPE_CHECKING:
    from experiments.session import Session


@dataclass(frozen=True)
class About:
    """A line of `python -m experiments`."""

    name: str
    paper: str
    data: str
    time: str


@dataclass(frozen=True, kw_only=True)
class System(Generic[State]):
    """A model of a run as a value: what is trained, and what the commands know of it.

    Attributes:
      name: among the models of the run, for `--model`.
      title: in tables.
      task: what `fit` trains.
      config: the run's settings, with no other model in them.
      limits: how long it is trained, and what is kept.
      stage: the folder in the run of the training that serves.
      serves: the checkpoint that the commands take.
      names: of its weights.
      files: in the run's folder, that a run of these weights needs too.
    """

    name: str
    title: str
    task: Task[State]
    config: cli.RunConfig
    limits: TrainConfig
    stage: str = ""
    serves: Which = "last"
    names: Names
    files: tuple[str, ...] = ()

    @property
    def keys(self) -> jax.Array:
        """Of its seeds."""
        return seeds.seed_keys(self.config.seed, self.config.seeds)

    def load(self, run: RunDirectory, which: Which) -> State:
        """The stacked state of a checkpoint of the run.

        Raises:
          UserError: there is none.
        """
        return load_state(self.task, self.keys, self.limits, run.in_stage(self.stage), which)


class ListSystems(Protocol[cli.ConfigIn]):
    """The systems of a run by name, for the commands; shapes that depend on data are those that the run kept."""

    def __call__(self, config: cli.ConfigIn, run: RunDirectory, /) -> Mapping[str, System[Any]]: ...


def _on_all_devices(config: cli.RunConfig) -> Mesh:
    return devices.data_mesh()


def _nothing(config: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[cli.Config]):
    """An experiment: its settings, its one flow, and its systems.

    Attributes:
      about: its line in the list of experiments.
      doc: what `--help` says.
      presets: settings by name; `quick` and `paper` at least.
      flow: data -> systems -> training -> measures -> report; `experiments.evaluate` runs it too, with training
        answered from the checkpoints.
      check: raises UserError for settings that can't be run, whatever the data.
      changeable: settings that may change when a run is resumed.
      published: presets that are published settings; other presets depart from the first.
      reference_name: what the published setting is called in reports.
      unused: settings of what is not trained.
      mesh: the devices.
      systems: what `weights` and the commands of the family serve; None where nothing is kept for use.
      serving: the name of the system that recommends where none is named; None where nothing recommends.
    """

    about: About
    doc: str
    presets: Mapping[str, cli.Config]
    flow: Callable[[Session[cli.Config], cli.Config], None]
    check: Callable[[cli.Config], None]
    changeable: Callable[[cli.Config], Sequence[str]]
    published: tuple[str, ...] = ("paper",)
    reference_name: str = "published"
    unused: Callable[[cli.Config], Sequence[str]] = _nothing
    mesh: Callable[[cli.Config], Mesh] = _on_all_devices
    systems: ListSystems[cli.Config] | None = None
    serving: Callable[[cli.Config, RunDirectory], str] | None = None

    @property
    def name(self) -> str:
        """Of its module."""
        return self.about.name

    @property
    def config(self) -> type[cli.Config]:
        """The class of its settings."""
        return type(self.presets["quick"])

    def reference(self, config: cli.Config) -> cli.Config:
        """The published setting that a run is compared with."""
        preset = config.preset if config.preset in self.published else self.published[0]
        return unions.like(self.presets[preset], config)

    def saved(self, run: RunDirectory) -> cli.Config:
        """The settings of a run.

        Raises:
          UserError: config.json was altered.
        """
        return cli.from_json(self.config, run.config)


def experiment_of(run: RunDirectory) -> Experiment[Any]:
    """The experiment that made a run, whose settings can be run.

    Raises:
      UserError: this version has no such experiment, or config.json was altered.
    """
    if run.experiment not in cli.EXPERIMENTS:
        raise UserError(
            str(run.path), run.experiment, "is not an experiment of this version", "use the one that made it"
        )
    experiment = experiment_named(run.experiment)
    try:
        experiment.check(experiment.saved(run))
    except cli.NotInstalled:
        return experiment  # what only the evaluation needs
    except UserError as error:
        field = error.field.removeprefix("--")
        field = field if "config.json" in field else f"{field.replace('-', '_')} in config.json"
        raise UserError(field, error.value, f"{error.problem} ({run.path})", REMEDY) from error
    return experiment


def experiment_named(name: str) -> Experiment[Any]:
    """One of `cli.EXPERIMENTS`."""
    return importlib.import_module(f"experiments.{name}").EXPERIMENT
