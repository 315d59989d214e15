import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.interactions import UserRows, from_pairs, pairs, row_batches, row_lengths, size, widened

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=30)


@settings(max_examples=30)
@given(PAIRS)
def test_pairs_are_counted_once(events):
    user, item = np.array(events, np.int64).reshape(-1, 2).T
    matrix, duplicates = from_pairs(user, item, (5, 7))
    dense = np.zeros((5, 7), np.float32)
    dense[user, item] = 1
    np.testing.assert_array_equal(matrix.toarray(), dense)
    assert duplicates == len(events) - len(set(events)) and matrix.dtype == np.float32
    assert list(zip(*(side.tolist() for side in pairs(matrix)), strict=True)) == sorted(set(events))
    np.testing.assert_array_equal(row_lengths(matrix), dense.sum(1))


def test_rows_become_dense_in_the_compiled_program():
    matrix, _ = from_pairs(np.array([0, 0, 2, 2, 2]), np.array([3, 1, 0, 3, 2]), (4, 5))
    source = UserRows(matrix)
    index = jnp.array([2, 3, 0, 2])
    batch = jax.jit(source.take)({name: jnp.asarray(a) for name, a in source.arrays.items()}, index)
    np.testing.assert_array_equal(batch["x"], matrix.toarray()[np.asarray(index)])
    np.testing.assert_array_equal(batch["user"], index)
    assert batch["x"].dtype == jnp.float32 and batch["user"].dtype == jnp.int32


def test_nobody_has_anything():
    matrix, _ = from_pairs(np.zeros(0, int), np.zeros(0, int), (2, 3))
    source = UserRows(matrix)
    batch = source.take({name: jnp.asarray(a) for name, a in source.arrays.items()}, jnp.array([1, 0]))
    np.testing.assert_array_equal(batch["x"], np.zeros((2, 3)))
    one = jax.tree.map(lambda a: a[0], row_batches(matrix, 2))
    np.testing.assert_array_equal(one.multi_hot(3), np.zeros((2, 3)))


def test_more_columns_change_no_row():
    matrix, _ = from_pairs(np.array([0, 1]), np.array([2, 0]), (2, 3))
    wide = widened(matrix, 4)
    assert size(wide) == (2, 4)
    np.testing.assert_array_equal(wide.toarray()[:, :3], matrix.toarray())


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_batches_of_rows_are_the_rows_in_order_and_then_empty_ones(width):
    matrix, _ = from_pairs(np.array([0, 0, 2, 2, 2, 4]), np.array([3, 1, 0, 3, 2, 4]), (5, 5))
    several = row_batches(matrix, width)
    assert several.longest == 3 and several.indices.shape[1] == {1: 3, 2: 3, 3: 5, 5: 6}[width]
    dense = jax.vmap(lambda batch: batch.multi_hot(6))(several)
    rows = np.asarray(dense).reshape(-1, 6)
    np.testing.assert_array_equal(rows[:5, :5], matrix.toarray())
    assert not rows[5:].any() and not rows[:, 5].any()
