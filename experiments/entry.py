"""What the commands on runs ask of the experiment that made one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

from experiments import cli
from experiments.cli import NotInstalled
from experiments.settings import REMEDY
from train.errors import UserError
from train.run_directory import RunDirectory
from train.stored_state import Which

if TYPE_CHECKING:
    from experiments.recommendation.serving import Recommender
    from experiments.representation.autoencoding import Trained
    from experiments.stored_models import Stored


class LoadRecommender(Protocol):
    """Loads a recommender from a run: which checkpoint, a seed's number (None: the first), a model ("": the best)."""

    def __call__(
        self, run: RunDirectory, which: Which, seed: int | None = None, model: str = ""
    ) -> Recommender: ...


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[cli.Config]):
    """An experiment to the commands; every experiment's file ends with its own, `ENTRY`.

    Attributes:
      about: its line in the list of experiments.
      config: the class of its settings.
      check: raises UserError for settings that can't be run.
      evaluate: measures a run again, with these settings of evaluation.
      stored_models: the models of a run by name, for `weights`; None where there is nothing to keep.
      load_autoencoder: for `encode` and `sample`; None where there are no images with codes.
      load_recommender: for `recommend`; None where nothing is recommended.
    """

    about: cli.About
    config: type[cli.Config]
    check: Callable[[cli.Config], None]
    evaluate: Callable[[RunDirectory, cli.Config], None]
    stored_models: Callable[[RunDirectory], dict[str, Stored]] | None = None
    load_autoencoder: Callable[[RunDirectory, Which], Trained] | None = None
    load_recommender: LoadRecommender | None = None


def entry_of(run: RunDirectory) -> Entry[Any]:
    """The experiment that made a run, whose settings can be run.

    Raises:
      UserError: this version has no such experiment, or config.json was altered.
    """
    if run.experiment not in cli.EXPERIMENTS:
        raise UserError(
            str(run.path), run.experiment, "is not an experiment of this version", "use the one that made it"
        )
    entry = entry_named(run.experiment)
    try:
        entry.check(cli.from_json(entry.config, run.config))
    except NotInstalled:
        return entry  # what only the evaluation needs
    except UserError as error:
        field = error.field.removeprefix("--")
        field = field if "config.json" in field else f"{field.replace('-', '_')} in config.json"
        raise UserError(field, error.value, f"{error.problem} ({run.path})", REMEDY) from error
    return entry


def entry_named(name: str) -> Entry[Any]:
    """The entry of one of `cli.EXPERIMENTS`."""
    return importlib.import_module(f"experiments.{name}").ENTRY
