"""Items that a user has no record of, drawn uniformly inside a compiled step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


class Records(NamedTuple):
    """The items of every user, in the rows of a CSR matrix; NumPy or JAX arrays.

    Attributes:
      starts: where each user's row starts; the last one is the number of records.
      absent: for each record, how many items of a lower number its user has no record of; ascends in a row.
    """

    starts: Int[Array, "users+1"]
    absent: Int[Array, " records"]


def records(matrix: Any) -> Records:
    """Of a `scipy.sparse.csr_array` [users, items] with sorted indices and no duplicates."""
    starts = np.asarray(matrix.indptr, np.int32)
    place_in_row = np.arange(matrix.nnz) - np.repeat(starts[:-1], np.diff(starts))
    return Records(starts, (matrix.indices - place_in_row).astype(np.int32))  # pyright: ignore


def draw_negatives(key: jax.Array, user: Int[Array, " b"], seen: Records, items: int) -> Int[Array, " b"]:
    """For each user an item without a record, all of them equally likely (to the 2^-32 of `randint`).

    No draw is ever rejected: the r-th of the absent items is found by a binary search in the user's row. A user
    with a record of every item has none to draw.
    """
    first, end = seen.starts[user], seen.starts[user + 1]
    r = jax.random.randint(key, user.shape, 0, items - (end - first))

    def halve(_: Int[Array, ""], bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        below = (low < high) & (seen.absent[middle] <= r)
        return jnp.where(below, middle + 1, low), jnp.where(below, high, middle)

    # Of the user's records, those in front of the r-th absent item are the ones with at most r absent ones below.
    low, _ = jax.lax.fori_loop(0, len(seen.absent).bit_length(), halve, (first, end))
    return r + (low - first)
