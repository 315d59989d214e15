"""What every recommender has to be compared with: popularity, item-KNN, EASE. All linear in a user's row."""

from collections.abc import Iterator
from typing import cast

import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs
from scipy.sparse import csr_array

BLOCK = 1024
"""Columns of a Gram matrix that are made dense at once."""


def popularity(train: csr_array) -> Float[np.ndarray, " items"]:
    """How many users have each item: the same ranking for everybody."""
    return np.asarray(train.sum(0), np.float64).reshape(-1)


def item_knn(train: csr_array, neighbours: int) -> Float[np.ndarray, "items items"]:
    """Cosine of the items' columns, the `neighbours` largest of each column kept; a user's scores are x C.

    C_ij = (X^T X)_ij / sqrt(n_i n_j) with a zero diagonal. All that equal the last one kept are kept too. Memory: one
    float32 matrix items x items.
    """
    counts = popularity(train)
    scale = 1 / np.sqrt(np.maximum(counts, 1))
    similarity = np.empty((_items(train),) * 2, np.float32, order="F")
    for start, block in _gram_blocks(train):
        block *= scale[:, None] * scale[None, start : start + block.shape[1]]
        _zero_diagonal(block, start)
        _keep_largest(block, neighbours)
        similarity[:, start : start + block.shape[1]] = block
    return similarity


def ease(train: csr_array, weight: float) -> Float[np.ndarray, "items items"]:
    """EASE^R (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8); scores are x B.

    P = (X^T X + weight I)^-1, B_ij = -P_ij / P_jj off the diagonal, 0 on it. In float64, in place: the memory is
    that of one matrix items x items (3.2 GB for 20,000 items) and little more.

    Args:
      train: users x items.
      weight: lambda > 0, of the squared norm of B.

    Raises:
      ValueError: the weight is not positive.
    """
    if not weight > 0:
        raise ValueError(f"the weight {weight} is not positive, so that the Gram matrix may be singular")
    items = _items(train)
    gram = np.empty((items, items), np.float64, order="F")
    for start, block in _gram_blocks(train):
        gram[:, start : start + block.shape[1]] = block
    gram[np.diag_indices(items)] += weight
    inverse = _inverse_in_place(gram)
    inverse /= -np.diag(inverse).copy()[None, :]
    np.fill_diagonal(inverse, 0)
    return inverse


def _items(matrix: csr_array) -> int:
    return cast(tuple[int, int], matrix.shape)[1]


def _gram_blocks(train: csr_array) -> Iterator[tuple[int, Float[np.ndarray, "items b"]]]:
    """(first column, X^T X[:, columns] dense in float64) in turn."""
    transposed, by_column = cast(csr_array, train.T).tocsr(), train.tocsc()
    for start in range(0, _items(train), BLOCK):
        columns = by_column[:, start : start + BLOCK].astype(np.float64)
        yield start, (transposed @ columns).toarray()


def _inverse_in_place(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The inverse of a positive definite matrix in Fortran order, by Cholesky's factor, in the matrix's own memory."""
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, failed = factorise(matrix, lower=1, clean=0, overwrite_a=1)
    inverse, singular = invert(factor, lower=1, overwrite_c=1)
    if failed or singular:
        raise ValueError("the matrix is not positive definite")
    for start in range(0, len(inverse), BLOCK):
        rows = slice(start, start + BLOCK)
        square = inverse[rows, rows]
        square[np.triu_indices(len(square), 1)] = square.T[np.triu_indices(len(square), 1)]
        inverse[rows, start + BLOCK :] = inverse[start + BLOCK :, rows].T
    return inverse


def _zero_diagonal(block: Float[np.ndarray, "n b"], start: int) -> None:
    columns = np.arange(block.shape[1])
    block[start + columns, columns] = 0


def _keep_largest(block: Float[np.ndarray, "n b"], count: int) -> None:
    """Zeroes what is below the `count`-th largest of its column."""
    if count < len(block):
        least = np.partition(block, len(block) - count, axis=0)[len(block) - count]
        block[block < least] = 0
