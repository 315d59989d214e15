"""Users x items: sparse on the host, rows made dense inside the compiled program, a batch at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
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
    """Inverts `from_pairs`: users and items of the entries, by user, then by item."""
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


class RowBatch(flax.struct.PyTreeNode):
    """A batch of users' rows, sparse: row i has the items indices[indptr[i]:indptr[i + 1]].

    Attributes:
      indptr: [B + 1], or [count, B + 1] for several batches.
      indices: [n], n that of the fullest batch, or [count, n].
      longest: the number of items of the longest row of all.
    """

    indptr: Int[Array | np.ndarray, "*count starts"]
    indices: Int[Array | np.ndarray, "*count n"]
    longest: int = flax.struct.field(pytree_node=False)

    def multi_hot(self, items: int) -> Float[Array, "B items"]:
        """The rows of one batch as zeros and ones."""
        indptr, indices = jnp.asarray(self.indptr), jnp.asarray(self.indices)
        return _multi_hot(indptr[:-1], indptr[1:], indices, self.longest, items)


def row_batches(matrix: csr_array, width: int) -> RowBatch:
    """All rows in batches of `width`, the last one filled up with empty rows.

    The memory is that of the entries, and of what other batches have less than the fullest: rows of very different
    lengths are never padded to the longest.
    """
    count = -(-size(matrix)[0] // width)
    starts = np.pad(matrix.indptr, (0, count * width - size(matrix)[0]), mode="edge")
    indptr = starts[width * np.arange(count)[:, None] + np.arange(width + 1)]
    indptr = (indptr - indptr[:, :1]).astype(np.int32)
    indices = np.zeros((count, max(1, int(indptr[:, -1].max()))), np.int32)
    indices[np.arange(indices.shape[1]) < indptr[:, -1:]] = matrix.indices
    return RowBatch(indptr, indices, _longest(matrix))


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
        start, end = arrays["indptr"][index], arrays["indptr"][index + 1]
        x = _multi_hot(start, end, arrays["indices"], _longest(self.matrix), size(self.matrix)[1])
        return {"x": x, "user": index.astype(jnp.int32)}


def _multi_hot(
    start: Int[Array, "B"], end: Int[Array, "B"], indices: Int[Array, "n"], longest: int, items: int
) -> Float[Array, "B items"]:
    """The rows indices[start:end], none longer than `longest`, as zeros and ones."""
    place = start[:, None] + jnp.arange(longest)[None]
    found = indices[jnp.minimum(place, len(indices) - 1)]
    return item_shards.multi_hot(jnp.where(place < end[:, None], found, items), items)


def _longest(matrix: csr_array) -> int:
    """The number of items of the longest row; at least one, so that there is something to index."""
    return max(1, int(row_lengths(matrix).max(initial=0)))
