"""The fixed split of a data set into training, validation and test examples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from train.errors import UserError


class Split(NamedTuple):
    """Disjoint int32 row numbers, each part in a random order: the start of a part is a sample of it."""

    train: Int[np.ndarray, "N"]
    validation: Int[np.ndarray, "M"]
    test: Int[np.ndarray, "K"]


def split_indices(size: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0) -> Split:
    """Divide the rows of a data set; a function of its arguments only, in every run and version of NumPy.

    Rows are ordered by a hash of (seed, row), because NumPy may change the stream of its generators.

    Args:
      size: how many rows there are.
      fractions: shares of training, validation and test; they sum to 1.
      seed: chooses the split.

    Raises:
      ValueError: fractions that are negative or do not sum to 1.
      UserError: too few rows to give every share at least one.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be at least 0 and sum to 1, not {fractions}")
    order = np.argsort(_hash(np.arange(size, dtype=np.uint64), seed), kind="stable").astype(np.int32)
    parts = Split(*np.split(order, np.round(np.cumsum(fractions[:2]) * size).astype(int)))
    if any(share > 0 and not part.size for share, part in zip(fractions, parts, strict=True)):
        shares = " / ".join(f"{share:g}" for share in fractions)
        raise UserError("--data.path", f"{size} examples", f"too few to split {shares}", "give a larger set")
    return parts


def _hash(row: Int[np.ndarray, "N"], seed: int) -> Int[np.ndarray, "N"]:
    """SplitMix64 (Steele et al., 2014): for each seed a bijection of 64-bit words, so no two rows tie."""
    golden, words = 0x9E3779B97F4A7C15, 1 << 64
    word = _mix(np.array([(seed + 1) * golden % words], np.uint64)) + row * np.uint64(golden)
    return _mix(word)


def _mix(word: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
    return word ^ (word >> np.uint64(31))
