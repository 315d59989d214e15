"""What a session recommender is compared with: popularity, S-POP, item-KNN and a first-order Markov chain.

As in the evaluation scripts of GRU4Rec (Hidasi et al., ICLR 2016, section 4.2). Sessions are `items`, one session
after the other, and `positions`, how many events of its session came before each event. A model gives for events to
predict the scores of all items from the events before them in their sessions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

Scores = Callable[[Int[np.ndarray, " n"]], Float[np.ndarray, "n items"]]
"""From events, by their place in the test sessions, to the scores of all items."""
SHRINKAGE = 20.0
NEIGHBOURS = 100


def popularity(support: Int[np.ndarray, " items"]) -> Scores:
    """Training events of each item, whatever the session."""
    scores = support.astype(np.float64)
    return lambda events: np.broadcast_to(scores, (len(events), len(scores)))


def session_popularity(
    support: Int[np.ndarray, " items"],
    items: Int[np.ndarray, " events"],
    positions: Int[np.ndarray, " events"],
) -> Scores:
    """S-POP: events of each item in the session so far; equal ones by training popularity."""
    tie_break = support / (support.max() + 1)

    def scores(events: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n items"]:
        found = np.tile(tie_break, (len(events), 1))
        before = positions[events]
        rows = np.repeat(np.arange(len(events)), before)
        back = np.arange(before.sum()) - np.repeat(np.cumsum(before) - before, before)
        np.add.at(found, (rows, items[events[rows] - 1 - back]), 1)
        return found

    return scores


def item_neighbours(
    train_items: Int[np.ndarray, " train_events"],
    train_session: Int[np.ndarray, " train_events"],
    support: Int[np.ndarray, " items"],
    items: Int[np.ndarray, " events"],
) -> Scores:
    """Item-KNN: similarity to the item just before, co-occurrence / sqrt((n_i + 20) (n_j + 20)).

    Co-occurrence counts pairs of events in a session, n events. Of each item the 100 most similar ones count.
    """
    shape = (int(train_session.max()) + 1, len(support))
    events: Any = csr_array((np.ones(len(train_items)), (train_session, train_items)), shape=shape)
    damping = 1 / np.sqrt(support + SHRINKAGE)
    together: Any = csr_array(events.T @ events)
    row = np.repeat(np.arange(len(support)), np.diff(together.indptr))
    together.data *= damping[row] * damping[together.indices]
    together.data[row == together.indices] = 0
    similar = _largest(together, NEIGHBOURS)
    return lambda events: similar[items[events - 1]].toarray()


def first_order_markov(
    train_items: Int[np.ndarray, " train_events"],
    train_positions: Int[np.ndarray, " train_events"],
    support: Int[np.ndarray, " items"],
    items: Int[np.ndarray, " events"],
) -> Scores:
    """How often each item came right after the item just before, in the training sessions."""
    after = np.flatnonzero(train_positions > 0)
    pairs = (train_items[after - 1], train_items[after])
    counts = csr_array((np.ones(len(after)), pairs), shape=(len(support), len(support)))
    return lambda events: counts[items[events - 1]].toarray()


def baseline_places(
    scores: Scores,
    items: Int[np.ndarray, " events"],
    positions: Int[np.ndarray, " events"],
    rows: int = 512,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """(above, level) of every event but the first of each session, as `train.metrics.sessions.places` counts.

    Args:
      scores: the model.
      items: of the test sessions.
      positions: of the test sessions.
      rows: predictions at once; they take this many times the number of items in memory.
    """
    events = np.flatnonzero(positions > 0)
    above, level = np.zeros((2, len(events)), np.int64)
    for begin in range(0, len(events), rows):
        some = slice(begin, begin + rows)
        found = scores(events[some])
        own = np.take_along_axis(found, items[events[some], None], axis=1)
        above[some], level[some] = (found > own).sum(1), (found == own).sum(1)
    return above, level


def _largest(matrix: Any, count: int) -> csr_array:
    """The `count` largest entries of each row, of equal ones those of the lower columns; the others are dropped."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    place = np.arange(len(order)) - matrix.indptr[row[order]]
    kept = order[place < count]
    return csr_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)
