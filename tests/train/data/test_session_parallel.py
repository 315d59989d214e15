"""Session-parallel batches against a simulation of the slots, and their feed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.data.session_logs import log_of, random_log
from train.data.session_parallel import SessionFeed, session_parallel
from train.data.sessions import Sessions, number_items
from train.devices import data_mesh, use_mesh


def sessions_of(log):
    return number_items(log, log).train


def by_slots(sessions, slots):
    """Every slot holds a session and a place in it; one step after the other, as the paper draws it."""
    waiting = sorted(range(len(sessions)), key=lambda s: sessions.time[sessions.starts[s]])
    held = [None] * slots
    while True:
        for slot in range(slots):
            if held[slot] is None and waiting:
                held[slot] = [waiting.pop(0), 0]
        if not any(held):
            return
        row = []
        for slot in range(slots):
            if held[slot] is None:
                row.append((0, 0, False, False, 0))
                continue
            session, place = held[slot]
            event = int(sessions.starts[session]) + place
            row.append((sessions.items[event], sessions.items[event + 1], place == 0, True, event + 1))
            held[slot][1] += 1
            if held[slot][1] == sessions.lengths[session] - 1:
                held[slot] = None
        yield row


@settings(max_examples=15)
@given(st.integers(0, 2**16), st.integers(1, 40))
def test_slots_as_in_the_paper(seed, slots):
    sessions = sessions_of(random_log(seed=seed))
    schedule = session_parallel(sessions, slots)
    expected = np.array(list(by_slots(sessions, slots)))
    arrays = (schedule.input, schedule.target, schedule.reset, schedule.valid, schedule.event)
    for i, ours in enumerate(arrays):
        np.testing.assert_array_equal(ours, expected[..., i])
    # Every event but the first of each session is a target once, and comes back in its place.
    targets = np.flatnonzero(sessions.positions > 0)
    np.testing.assert_array_equal(schedule.in_event_order(schedule.event), targets)
    both = schedule.in_event_order(np.stack([schedule.target, schedule.input]))
    np.testing.assert_array_equal(both, [sessions.items[targets], sessions.items[targets - 1]])


def test_a_small_schedule_by_hand():
    """Three sessions, two slots: c d e begins last, in the slot that is free first."""
    sessions = sessions_of(log_of("1a1 1b2 1a3 2b4 2a5 3c6 3d7 3e8"))
    schedule = session_parallel(sessions, 2)
    a, b, c, d, e = range(5)
    np.testing.assert_array_equal(schedule.input, [[a, b], [b, c], [0, d]])
    np.testing.assert_array_equal(schedule.target, [[b, a], [a, d], [0, e]])
    np.testing.assert_array_equal(schedule.reset, [[1, 1], [0, 1], [0, 0]])
    np.testing.assert_array_equal(schedule.valid, [[1, 1], [1, 1], [0, 1]])
    assert len(session_parallel(sessions, 2, least=2)) == 2


def test_sessions_of_one_event_are_refused():
    one = Sessions(np.zeros(1, np.int32), np.array([0, 1]), np.zeros(1))
    with pytest.raises(ValueError, match="fewer than two"):
        session_parallel(one, 2)


def test_feed_walks_through_epochs():
    schedule = session_parallel(sessions_of(random_log()), 8)
    mesh, whole = data_mesh(), {"support": np.arange(12.0)}
    feed = SessionFeed.place(schedule, whole, mesh)
    key = jax.random.key(0)
    with use_mesh(mesh):
        chunk = feed.chunk(0, 1)
        one = jax.jit(lambda chunk, step: feed.batch(chunk, key, step, step))
        for step in (0, 3, len(schedule) + 3):
            batch = one(chunk, jnp.asarray(step))
            for name, array in schedule.batches.items():
                np.testing.assert_array_equal(batch[name], array[step % len(schedule)])
            np.testing.assert_array_equal(batch["support"], whole["support"])
