"""Ranks, recall and MRR of sessions against the reference arrays and a loop, with ties and NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.metrics.sessions import places, places_in_sessions, ranks, session_metrics

TIES = ("standard", "conservative", "median")


def test_reference_ranks(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {key: archive[key] for key in archive if key.startswith("met/sess_")}
    scores, target = jnp.asarray(gold["met/sess_scores"], jnp.float32), jnp.asarray(gold["met/sess_target"])
    above, level = jax.jit(places)(scores, target)
    for ties in TIES:
        rank = ranks(above, level, ties)
        np.testing.assert_array_equal(rank, gold[f"met/sess_rank_{ties}"])
        values = session_metrics(rank, (5,))
        for name in ("recall", "mrr"):
            expected = gold[f"met/sess_{name}@5_{ties}"]
            np.testing.assert_allclose(values[f"{name}@5"].mean(), expected, rtol=1e-6)


def test_loop_with_many_ties():
    rng = np.random.default_rng(0)
    scores, target = rng.integers(0, 4, (40, 9)), rng.integers(0, 9, 40)
    above, level = places(jnp.asarray(scores, jnp.float32), jnp.asarray(target))
    for ties in TIES:
        rank = ranks(above, level, ties)
        metrics = session_metrics(rank, (1, 3))
        for i, (row, t) in enumerate(zip(scores, target, strict=True)):
            better = sum(s > row[t] for s in row)
            equal = sum(s == row[t] for s in row)
            expected = {
                "standard": better + 1,
                "conservative": better + equal,
                "median": better + (equal + 1) / 2,
            }
            assert rank[i] == expected[ties]
            for n in (1, 3):
                hit = expected[ties] <= n
                assert metrics[f"recall@{n}"][i] == hit
                np.testing.assert_allclose(metrics[f"mrr@{n}"][i], hit / expected[ties], rtol=1e-6)


def test_nan_counts_against_the_target():
    nan = np.nan
    scores = jnp.asarray([[nan, 1.0, 2.0], [nan, 3.0, 2.0], [1.0, 1.0, 1.0]])
    above, level = places(scores, jnp.asarray([0, 1, 2]))
    np.testing.assert_array_equal(ranks(above, level), [4, 2, 3])


def test_unknown_ties():
    with pytest.raises(ValueError, match="random"):
        ranks(jnp.zeros(1, int), jnp.ones(1, int), "random")


def test_carry_goes_through_a_schedule():
    """A model that scores the sum of the session's items so far highest."""

    def advance(total, item, reset):
        total = jnp.where(reset, 0, total) + item
        return total, -jnp.abs(jnp.arange(10.0)[None] - total[:, None])

    schedule = {
        "input": jnp.asarray([[1, 4], [2, 5], [3, 1]]),
        "target": jnp.asarray([[1, 4], [3, 9], [3, 0]]),
        "reset": jnp.asarray([[True, True], [False, False], [True, True]]),
    }
    above, level = places_in_sessions(advance, jnp.full(2, 7.0), schedule)
    np.testing.assert_array_equal(above, [[0, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(level, [[1, 1], [1, 1], [1, 2]])
