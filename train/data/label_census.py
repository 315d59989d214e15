"""Which values a set's label maps hold, counted before anything is compiled or trained."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from train.data.image_files import UnreadableError, read_indices
from train.data.label_folders import Triples
from train.data.label_maps import LARGEST_VALUE, ClassTable, advice
from train.errors import UserError

LIMIT = 20_000
"""Maps that are read, at most; of more, as many that are evenly spread."""
THREADS = min(16, os.cpu_count() or 1)
SHOWN = 12


@dataclass(frozen=True)
class Census:
    """What the label maps of a set hold.

    Attributes:
      example_of: each value that occurs, in ascending order, and the name of the first map that has it.
      maps: how many were read.
    """

    example_of: dict[int, str]
    maps: int

    @property
    def values(self) -> tuple[int, ...]:
        """Those that occur."""
        return tuple(self.example_of)


def take_census(triples: Triples, flag: str) -> Census:
    """Reads the label maps of a set; one that can't be read is left to those who count such files.

    Args:
      triples: the set.
      flag: what the user named its label maps by.

    Raises:
      UserError: a map has colours instead of indices.
    """
    rows = np.unique(np.linspace(0, len(triples) - 1, min(len(triples), LIMIT)).astype(int))

    def look(row: int) -> tuple[str, Int[np.ndarray, " n"]] | None:
        label = triples[row].label
        try:
            return label.name, _values(read_indices(label, flag))
        except UnreadableError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        found = [one for one in pool.map(look, rows.tolist()) if one is not None]
    example_of: dict[int, str] = {}
    for name, values in found:
        for value in values.tolist():
            example_of.setdefault(value, name)
    return Census(dict(sorted(example_of.items())), len(found))


def _values(indices: Int[np.ndarray, "h w"]) -> Int[np.ndarray, " n"]:
    if indices.size and indices.min() >= 0 and indices.max() <= LARGEST_VALUE:
        return np.flatnonzero(np.bincount(indices.ravel()))
    return np.unique(indices)


def ask_for_classes(census: Census) -> UserError:
    """What to say where nobody gave the number of classes."""
    problem = f"the number of classes is not given; {census.maps:,} label maps hold {listed(census.values)}"
    return UserError("--data.classes", None, problem, advice(census.values))


def check_classes(census: Census, table: ClassTable, flag: str) -> tuple[int, ...]:
    """The classes that no map holds.

    Args:
      census: of the label maps.
      table: from their values to classes.
      flag: what the user named them by.

    Raises:
      UserError: a value is not a class, or all known pixels are of one class and all others are unknown.
    """
    for value, name in census.example_of.items():
        if not 0 <= value <= LARGEST_VALUE or table.class_of[value] < 0:
            raise table.refusal(value, name, flag, census.values)
    held = {int(table.class_of[value]) for value in census.values}
    known = held - {table.classes}
    if table.classes > 1 and len(held) > len(known) == 1:
        problem = f"all known pixels are of class {known.pop()}, and all others are unknown"
        remedy = 'make a class of them by --data.remap, a file such as {"0": 0, "255": 1}'
        raise UserError(flag, listed(census.values), problem, remedy)
    return tuple(sorted(set(range(table.classes)) - known)) if census.maps else ()


def listed(values: Sequence[int]) -> str:
    """Values in a few words, neighbours as ranges."""
    ranges: list[list[int]] = []
    for value in values:
        if ranges and value == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], value]
        else:
            ranges.append([value])
    texts = [" to ".join(map(str, ends)) for ends in ranges]
    more = [f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join(texts[:SHOWN] + more)
