"""Users x items: sparse on the host, rows made dense inside the compiled program, a batch at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from scipy.sparse import csr_array

from train import item_shards


def from_pairs(
    user: Int[np.ndarray, " n"], item: Int[np.ndarray, " n"], shape: tuple[int, int]
) -> tuple[csr_array, int]:
    """Float32 ones at the pairs, columns sorted in each row, and how many pairs were duplicates of another.

    Args:
      user: rows.
      item: columns.
      shape: users, items.

    Raises:
      ValueError: from SciPy, for numbers outside the shape.
    """
    ones = np.ones(len(user), np.float32)
    matrix = csr_array((ones, (user.astype(np.int32), item.astype(np.int32))), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix, len(user) - matrix.nnz


def pairs(matrix: csr_array) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The inverse of `from_pairs`: users and items of the entries, by user, then by item."""
    return np.repeat(np.arange(size(matrix)[0], dtype=np.int32), row_lengths(matrix)), matrix.indices


def size(matrix: csr_array) -> tuple[int, int]:
    """Users and items, which SciPy's types leave open."""
    return cast(tuple[int, int], matrix.shape)


def row_lengths(matrix: csr_array) -> Int[np.ndarray, " users"]:
    """How many items each user has."""
    return np.diff(matrix.indptr)


def widened(matrix: csr_array, items: int) -> csr_array:
    """The same rows among `items` columns, at least as many as there are."""
    return csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(size(matrix)[0], items))


def padded_rows(matrix: csr_array, width: int | None = None) -> Int[np.ndarray, "users width"]:
    """The items of each user as int32, filled up with the number of items, which is no item.

    Args:
      matrix: users x items.
      width: columns of the result, at least the longest row's length, which is the default.

    Raises:
      ValueError: a row is longer than the width.
    """
    lengths = row_lengths(matrix)
    longest = int(lengths.max(initial=0))
    width = max(1, longest) if width is None else width
    if longest > width:
        raise ValueError(f"a row has {longest} items, more than {width}")
    rows = np.full((size(matrix)[0], width), size(matrix)[1], np.int32)
    rows[np.arange(width) < lengths[:, None]] = matrix.indices
    return rows


@dataclass(frozen=True)
class UserRows:
    """Every user's row as an example (see `train.feed.Examples`): what lives on the devices is sparse.

    Attributes:
      matrix: users x items, as `from_pairs` makes it.
    """

    matrix: csr_array

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The row starts and the items; at least one item, so that there is something to index."""
        items = self.matrix.indices if self.matrix.nnz else np.zeros(1, np.int32)
        return {"indptr": self.matrix.indptr.astype(np.int32), "indices": items.astype(np.int32)}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """{"x": float32 [B, items] of zeros and ones, "user": int32 [B]}."""
        items = size(self.matrix)[1]
        start, end = arrays["indptr"][index], arrays["indptr"][index + 1]
        place = start[:, None] + jnp.arange(max(1, int(row_lengths(self.matrix).max(initial=0))))[None]
        found = arrays["indices"][jnp.minimum(place, len(arrays["indices"]) - 1)]
        ids = jnp.where(place < end[:, None], found, items)
        return {"x": item_shards.multi_hot(ids, items), "user": index.astype(jnp.int32)}
