"""Opening what was trained, for the commands on runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments import cli
from experiments.autoencoding import Trained
from train import seeds
from train.errors import UserError
from train.loop import load_state
from train.run_directory import RunDirectory, open_run

RunPath = Annotated[Path, tyro.conf.Positional]
Which = Literal["last", "best"]


def open_trained(path: Path, which: Which) -> tuple[RunDirectory, Any, Trained]:
    """A run, its settings, and its model from the `last` or the `best` checkpoint.

    Raises:
      UserError: there is no such run, or it has no good checkpoint.
    """
    run = open_run(path, "RUN_DIR")
    module = cli.load_experiment(run)
    config, task = module.load(run)
    keys = seeds.seed_keys(config.seed, config.seeds)
    state = load_state(task, keys, config.train, run, which)
    return run, config, module.trained(config, state)


def one_seed(trained: Trained, seed: int) -> int:
    """The index of a seed in the run.

    Raises:
      UserError: the run has no such seed.
    """
    count = len(trained.keys)
    index = seed - trained.first_seed
    if not 0 <= index < count:
        last = trained.first_seed + count - 1
        raise UserError("--seed", seed, "is not in this run", f"give {trained.first_seed} to {last}")
    return index


def parse(config_class: type, name: str, doc: str | None, argv: Sequence[str]) -> Any:
    """The arguments of a command on runs."""
    cli.cache_compilations()
    return tyro.cli(config_class, prog=f"python -m experiments.{name}", description=doc, args=list(argv))
