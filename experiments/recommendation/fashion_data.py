"""What `deepstyle_fashion` is fed: items with images, and who has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from experiments.run_report import of_file
from train.bounds import AtLeast
from train.data import fashion
from train.data.fashion import FashionData
from train.data.fashion_world import fashion_world
from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is fed."""

    source: Literal["procedural", "npz"] = "procedural"
    """The rendered world; or a file of `triples`, `feat`, `category` and perhaps `is_test`."""
    path: Path | None = None
    """The file."""
    held: fashion.Held = "leave-one-out"
    """The test records: one of each user, as published; or those that the file's `is_test` names."""
    seed: Annotated[int, AtLeast(0)] = 0
    """Of the embedded data, and of the records that chance keeps back."""


def in_words(config: DataConfig) -> str:
    """What the data are, for the title."""
    return "rendered items" if config.source == "procedural" else of_file("records", config.path)


def open_data(config: DataConfig) -> FashionData:
    """The data with their test and validation records kept back.

    Raises:
      UserError: they can't be read, or don't fit together.
    """
    if config.source == "procedural":
        if config.held == "file":
            raise UserError("--data.held", "file", "simulated users have no file", "give leave-one-out")
        return fashion_world(seed=config.seed)
    if config.path is None:
        raise UserError("--data.source", "npz", "reads a file", "name it by --data.path")
    return fashion.read_npz(config.path, config.held, config.seed)
