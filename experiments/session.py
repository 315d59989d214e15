"""A run of an experiment: binds its flow to a run directory, devices, seeds and writers.

An experiment's `flow(session, config)` opens data, begins the run, trains by `session.fit` and reports by
`session.report`. `experiments.evaluate` replays the same flow on a run that is there: `fit` then answers from the
checkpoints, and nothing but results and report is written.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from experiments import cli
from experiments.experiment import Experiment
from experiments.run_report import command, directory
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.feed import Feed
from train.loop import fit
from train.report.report import Report, Section, write_report
from train.report.tables import Table, to_text
from train.run_directory import RunDirectory, write_json
from train.stored_state import Which, load_state
from train.task import State, Task


@dataclass(frozen=True)
class Findings:
    """What came out of a run: the content of its report and of results.json.

    Attributes:
      title: of the page.
      summary: one or a few sentences that say what came out.
      sections: tables and pictures.
      results: every number, for results.json.
      notes: what a reader must know to read the numbers, a sentence each.
      printed: the tables that the terminal shows too.
    """

    title: str
    summary: Sequence[str]
    sections: Sequence[Section]
    results: Mapping[str, Any]
    notes: Sequence[str] = ()
    printed: Sequence[Table] = ()


@dataclass(frozen=True)
class Trained(Generic[State]):
    """What a training left: the stacked state of a checkpoint, last or best."""

    state: Callable[[Which], State]


@dataclass
class Session(Generic[cli.Config]):
    """One run of an experiment.

    Attributes:
      experiment: whose.
      config: its settings.
      mesh: the devices that it trains on.
      replays: whether the checkpoints of a run answer in the place of training.
      opened: the run that is resumed or replayed; None for a new one.
      held: what is given back when the run ends.
    """

    experiment: Experiment[cli.Config]
    config: cli.Config
    mesh: Mesh
    replays: bool
    opened: RunDirectory | None
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    began: bool = False

    @property
    def keys(self) -> jax.Array:
        """One of each seed [seeds]."""
        return seeds.seed_keys(self.config.seed, self.config.seeds)

    @property
    def reference(self) -> cli.Config:
        """The published setting."""
        return self.experiment.reference(self.config)

    @property
    def run(self) -> RunDirectory:
        """Where the run is kept, once it has begun."""
        if self.opened is None or not self.began:
            raise RuntimeError("the run has not begun: call session.begin() once the data are open")
        return self.opened

    def check_batch(self, limits: TrainConfig, least: int = 2) -> None:
        """Raises UserError where a batch does not divide over the devices that train."""
        train_config.check(limits, 1 if self.replays else self.mesh.size, least)

    def begin(self) -> None:
        """Makes the run directory, or takes the resumed one, and says how the run departs from what was published.

        The flow calls it once nothing more can be wrong with settings and data: what fails before leaves no folder.

        Raises:
          UserError: the directory can't be made, or the run to resume has other settings.
        """
        self.began = True
        if self.replays:
            return
        changeable = self.experiment.changeable(self.config)
        run = cli.open_or_create(self.config, self.opened, self.experiment.name, changeable)
        self.opened = self.held.enter_context(cli.training(run, self.config))
        cli.announce(self.config, self.opened, self.reference, self.experiment.unused(self.config))

    def fit(
        self,
        task: Task[State],
        feed: Callable[[Mesh], Feed],
        validation: Callable[[Mesh], PyTree] | None,
        limits: TrainConfig,
        stage: str = "",
        watch: Callable[[int, State], None] | None = None,
    ) -> Trained[State]:
        """Trains all seeds, or answers from the checkpoints.

        Args:
          task: what is trained.
          feed: makes the batches, given the devices.
          validation: makes those of the task's criterion [count, batch, ...]; None where a run is never validated.
          limits: how long, and what is kept.
          stage: the run's folder for this training, where there are several.
          watch: see `train.loop.fit`.

        Raises:
          Interrupted: after Ctrl-C or SIGTERM, with everything saved.
          NonFiniteError: naming the step and the term; the checkpoints are intact.
        """
        if self.replays:
            return self.stored(task, limits, stage)
        fitted = fit(
            task,
            feed(self.mesh),
            None if validation is None else validation(self.mesh),
            self.keys,
            limits,
            self.run.in_stage(stage),
            self.mesh,
            first_seed=self.config.seed,
            profile=self.config.profile,
            tensorboard=self.config.tensorboard,
            watch=watch,
        )
        return Trained(lambda which: fitted.best if which == "best" else fitted.last)

    def stored(self, task: Task[State], limits: TrainConfig, stage: str = "") -> Trained[State]:
        """What the checkpoints hold, each read when it is asked for, which raises UserError where there is none."""
        run = self.run.in_stage(stage)
        return Trained(lambda which: load_state(task, self.keys, limits, run, which))

    def keep(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes what the commands need of the data into the run's folder; of a replayed run it is there."""
        if not self.replays and jax.process_index() == 0:
            write_json(self.run.path / name, content)

    def report(self, measure: Callable[[RunDirectory], Findings]) -> None:
        """Measures and draws, then writes results.json and report.html and prints the tables; first process only.

        The page gets what every page has: settings beside the published ones, environment, run and command.

        Raises:
          UserError: what is measured can't be, or a file can't be written.
        """
        if jax.process_index() != 0:
            return
        began, run = time.monotonic(), self.run
        run.figures.mkdir(exist_ok=True)
        found, unused = measure(run), self.experiment.unused(self.config)
        write_json(run.path / "results.json", found.results)
        for table in found.printed:
            print(to_text(table), end="\n\n", flush=True)
        page = Report(
            title=found.title,
            summary=found.summary,
            settings=cli.settings_of(self.config, unused),
            reference=cli.settings_of(self.reference, unused),
            reference_name=self.experiment.reference_name,
            environment={"run directory": directory(run.path), "command": command(), **run.environment},
            notes=found.notes,
            sections=found.sections,
        )
        write_report(run.report, page)
        cli.say(f"measured in {time.monotonic() - began:.0f} s; report: {run.report}")


def command_of(experiment: Experiment[Any]) -> Callable[[Sequence[str]], None]:
    """The `main` of an experiment's file: takes flags, and runs the flow with their settings."""
    return functools.partial(_train, experiment)


def _train(experiment: Experiment[Any], argv: Sequence[str]) -> None:
    """Settings from the flags, then the flow.

    Raises:
      UserError: for what a user can mend.
    """
    doc = experiment.doc
    config, resumed = cli.parse(experiment.config, experiment.presets, experiment.name, doc, argv)
    cli.prepare(config)
    mesh = experiment.mesh(config)
    experiment.check(config)
    with contextlib.ExitStack() as held:
        experiment.flow(Session(experiment, config, mesh, False, resumed, held), config)


def replay(experiment: Experiment[Any], run: RunDirectory, config: Any) -> None:
    """Measures a run again, with these settings of evaluation, on the devices that there are now.

    Raises:
      UserError: for settings that can't be run, and where a checkpoint is missing.
    """
    experiment.check(config)
    experiment.flow(Session(experiment, config, devices.data_mesh(), True, run), config)
