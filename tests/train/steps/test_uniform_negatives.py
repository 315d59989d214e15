"""Negatives: never an item of the user's, every other one equally likely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.data.interactions import from_pairs
from train.steps.uniform_negatives import Records, draw_negatives, records

ITEMS = 13
ROWS = ((0, 3, 4, 5, 12), (), (7,), tuple(range(12)), tuple(range(1, 13)), (0, 1, 2, 10, 11, 12))
"""Ends, gaps, an empty row, rows with one absent item at either end."""


compiled = jax.jit(draw_negatives, static_argnums=3)


def seen_of(rows):
    pairs = [(user, item) for user, row in enumerate(rows) for item in row]
    user, item = np.asarray(pairs, np.int32).T
    return Records(*map(jnp.asarray, records(from_pairs(user, item, (len(rows), ITEMS))[0])))


@pytest.fixture(scope="module")
def draws():
    """Of every user of ROWS 4,000 negatives."""
    user = jnp.repeat(jnp.arange(len(ROWS)), 4000)
    return np.asarray(compiled(jax.random.key(0), user, seen_of(ROWS), ITEMS))


@pytest.mark.parametrize("user", range(len(ROWS)))
def test_uniform_over_what_the_user_has_not(user, draws):
    drawn = draws.reshape(len(ROWS), -1)[user]
    counts = np.bincount(drawn, minlength=ITEMS)
    absent = np.setdiff1d(np.arange(ITEMS), ROWS[user])
    assert len(counts) == ITEMS and counts[absent].sum() == len(drawn)
    if len(absent) > 1:
        assert stats.chisquare(counts[absent]).pvalue > 0.01


def test_records_count_absent_items_below():
    seen = seen_of(ROWS)
    np.testing.assert_array_equal(seen.starts, [0, 5, 5, 6, 18, 30, 36])
    np.testing.assert_array_equal(seen.absent[:6], [0, 2, 2, 2, 8, 7])


@settings(max_examples=15)
@given(st.lists(st.sets(st.integers(0, ITEMS - 1), max_size=ITEMS - 1), min_size=4, max_size=4))
def test_never_an_item_of_the_user(rows):
    if not any(rows):
        return
    seen = seen_of([tuple(sorted(row)) for row in rows])
    # One shape for all examples: what lies behind the last row is never read.
    seen = seen._replace(absent=jnp.pad(seen.absent, (0, 4 * ITEMS - len(seen.absent))))
    user = np.arange(64) % 4
    drawn = compiled(jax.random.key(0), jnp.asarray(user), seen, ITEMS)
    assert all(
        0 <= item < ITEMS and item not in rows[u] for u, item in zip(user, np.asarray(drawn), strict=True)
    )


def test_real_sizes():
    """200 users with a third of 5,000 items."""
    rng = np.random.default_rng(0)
    matrix, _ = from_pairs(rng.integers(0, 200, 400_000), rng.integers(0, 5000, 400_000), (200, 5000))
    seen = Records(*map(jnp.asarray, records(matrix)))
    user = np.arange(20_000) % 200
    drawn = np.asarray(compiled(jax.random.key(0), jnp.asarray(user), seen, 5000))
    assert not np.asarray(matrix.todense())[user, drawn].any()
    # Of a third of the items, uniform draws have the mean rank of the absent ones.
    np.testing.assert_allclose(drawn.mean(), 2500, rtol=0.02)
