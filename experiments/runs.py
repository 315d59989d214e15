"""What the commands on runs share: their arguments, and the seed that they ask for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import cli
from train.bounds import check_bounds
from train.errors import UserError
from train.inflation import HELP

RunPath = Annotated[Path, tyro.conf.Positional]


def seed_index(seed: int | None, first: int, count: int, flag: str = "--seed") -> int:
    """The index of a seed in a run of `count` seeds from `first`; of the first one for None.

    Raises:
      UserError: the run has no such seed.
    """
    index = 0 if seed is None else seed - first
    if not 0 <= index < count:
        raise UserError(flag, seed, "is not in this run", f"give {first} to {first + count - 1}")
    return index


def parse(config_class: type, name: str, doc: str | None, argv: Sequence[str]) -> Any:
    """The arguments of a command on runs.

    Raises:
      UserError: one is out of its bounds.
    """
    cli.cache_compilations()
    prog, description = f"python -m experiments.{name}", f"{(doc or '').rstrip()}\n\n{HELP}"
    config = tyro.cli(config_class, prog=prog, description=description, args=list(argv))
    check_bounds(config)
    cli.find_devices()
    return config
