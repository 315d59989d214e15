import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train import shuffle
from train.shuffle import epoch_index

index = jax.jit(epoch_index, static_argnames=("batch", "size"))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 16, 17, 1000, 4097, 384_000])
def test_an_epoch_is_a_bijection(size):
    key = jax.random.key(0)
    for step in range(3):
        rows = index(key, step, batch=size, size=size)
        assert rows.dtype == jnp.int32
        np.testing.assert_array_equal(np.sort(rows), np.arange(size))


@settings(max_examples=2, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60))
def test_batches_of_any_length_walk_through_epochs(batch, size):
    """Cut into batches that straddle epochs or hold several, the order is that of one long batch."""
    key, steps = jax.random.key(3), 2 * size // batch + 2
    rows = np.concatenate([index(key, step, batch=batch, size=size) for step in range(steps)])
    np.testing.assert_array_equal(rows, index(key, 0, batch=batch * steps, size=size))
    for epoch in rows[: len(rows) // size * size].reshape(-1, size):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(size))


def test_epochs_and_keys_differ():
    first, second = (index(jax.random.key(0), step, batch=1000, size=1000) for step in (0, 1))
    other = index(jax.random.key(1), 0, batch=1000, size=1000)
    for a, b in ((first, second), (first, other), (second, other)):
        assert np.mean(np.asarray(a) == np.asarray(b)) < 0.01  # 1/1000 is expected of independent orders


def test_every_order_of_two_and_three_occurs():
    keys = jax.vmap(jax.random.key)(jnp.arange(600))
    for size, orders in ((2, 2), (3, 6)):
        rows = jax.vmap(functools.partial(epoch_index, step=0, batch=size, size=size))(keys)
        _, counts = np.unique(np.asarray(rows), axis=0, return_counts=True)
        assert len(counts) == orders and counts.min() > 0.5 * 600 / orders


def test_rows_are_spread_over_positions():
    """Chi-square of (position, row) cells over many epochs: about its degrees of freedom."""
    size, epochs, cells = 100, 400, 10
    rows = np.asarray(index(jax.random.key(5), 0, batch=size * epochs, size=size)).reshape(epochs, size)
    table = np.zeros((size, cells))
    for position in range(size):
        table[position] = np.bincount(rows[:, position] // (size // cells), minlength=cells)
    chi_square = ((table - epochs / cells) ** 2 / (epochs / cells)).sum()
    freedom = (size - 1) * (cells - 1)
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_are_unrelated():
    """Rows that are drawn one after the other have neither a fixed distance nor correlation."""
    rows = np.asarray(index(jax.random.key(2), 0, batch=10_000, size=10_000), float)
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(rows, np.arange(10_000))[0, 1]) < 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(1, 2**30 - 1), st.integers(1, 2**30 - 1))
def test_position_of_any_step_is_exact(step, batch, size):
    quotient, rest = jax.jit(shuffle._divmod_of_product)(
        jnp.uint32(step), jnp.uint32(batch), jnp.uint32(size)
    )
    assert (int(quotient), int(rest)) == (step * batch // size % 2**32, step * batch % size)


def test_late_steps_visit_every_row():
    step = (2**31 - 1) // 3 * 3 - 3
    rows = [index(jax.random.key(0), s, batch=128_000, size=384_000) for s in range(step, step + 3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(384_000))


def test_jit_scan_and_vmap_give_the_same_rows():
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    plain = np.stack([[epoch_index(key, step, 8, 21) for step in range(4)] for key in keys])
    over_keys = jax.vmap(lambda key: jax.lax.map(lambda step: epoch_index(key, step, 8, 21), jnp.arange(4)))
    np.testing.assert_array_equal(jax.jit(over_keys)(keys), plain)


@pytest.mark.parametrize(("batch", "size"), [(0, 5), (5, 0), (2**30, 5), (5, 2**30)])
def test_bad_sizes(batch, size):
    with pytest.raises(ValueError, match="must lie in"):
        epoch_index(jax.random.key(0), 0, batch, size)
