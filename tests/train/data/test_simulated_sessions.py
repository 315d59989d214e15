"""Simulated sessions: the same every time, skewed, habitual, and of lasting tastes."""

import numpy as np

from train.data.sessions import DAY, in_order
from train.data.simulated_sessions import LONGEST, simulated_sessions


def test_what_the_generator_promises():
    log = simulated_sessions(3000, 300, days=4, seed=1)
    for ours, again in zip(log, simulated_sessions(3000, 300, days=4, seed=1), strict=True):
        np.testing.assert_array_equal(ours, again)
    assert not np.array_equal(log.item[:100], simulated_sessions(3000, 300, days=4).item[:100])
    ordered, counts = in_order(log)
    for ours, same in zip(log, ordered, strict=True):
        np.testing.assert_array_equal(ours, same)
    assert counts["events earlier than the one before in their session, sorted"] == 0
    length = np.bincount(log.session)
    assert len(length) == 3000 and length.min() == 2 and length.max() <= LONGEST
    np.testing.assert_allclose(length.mean(), 5, atol=0.25)
    assert log.time.min() >= 0 and log.time.max() < 4 * DAY + 3600


def test_popularity_is_skewed_and_habits_are_strong():
    log = simulated_sessions(3000, 300)
    support = np.sort(np.bincount(log.item, minlength=300))[::-1]
    assert support[:30].sum() > 0.25 * support.sum()
    inside = log.session[1:] == log.session[:-1]
    pairs = np.zeros((300, 300))
    np.add.at(pairs, (log.item[:-1][inside], log.item[1:][inside]), 1)
    often = pairs.sum(1) > 50
    first = pairs[often].max(1) / pairs[often].sum(1)
    assert 0.2 < first.mean() < 0.5
