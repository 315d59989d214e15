"""Opening what was trained, for the commands on runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import cli
from experiments.representation.autoencoding import Trained
from train.errors import UserError
from train.run_directory import open_run
from train.stored_state import Which

RunPath = Annotated[Path, tyro.conf.Positional]


def open_trained(path: Path, which: Which) -> Trained:
    """The autoencoder of images that a run trained, from its `last` or its `best` checkpoint.

    Raises:
      UserError: there is no such run, or it trained something else, or it has no good checkpoint.
    """
    run = open_run(path, "RUN_DIR")
    module = cli.load_experiment(run)
    if not hasattr(module, "load_autoencoder"):
        remedy = "give a run of an autoencoder, e.g. of gwae_3dshapes"
        raise UserError("RUN_DIR", path, f"is a run of {run.experiment}, which has no images", remedy)
    return module.load_autoencoder(run, which)


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
