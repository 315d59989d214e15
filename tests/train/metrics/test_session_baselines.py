"""Session baselines against loops, and against the measured table of the RSC15 sample."""

import numpy as np
import pytest

from tests.train.data.session_logs import random_log
from train.data.sessions import in_order, number_items, read_log
from train.data.text_tables import Columns
from train.metrics.session_baselines import (
    baseline_places,
    first_order_markov,
    item_neighbours,
    popularity,
    session_popularity,
)
from train.metrics.sessions import ranks, session_metrics

REFERENCE = {
    "popularity": (0.04856, 0.07388, 0.08944, 0.02231, 0.02541, 0.02635),
    "s-pop": (0.3422, 0.36879, 0.3813, 0.26033, 0.26392, 0.26484),
    "item-knn": (0.25936, 0.33097, 0.38997, 0.15325, 0.1627, 0.16686),
    "markov": (0.46001, 0.51822, 0.56265, 0.31624, 0.32445, 0.32751),
}


def models(data):
    train, test = data.train, data.test
    session = np.repeat(np.arange(len(train)), train.lengths)
    return {
        "popularity": popularity(data.support),
        "s-pop": session_popularity(data.support, test.items, test.positions),
        "item-knn": item_neighbours(train.items, session, data.support, test.items),
        "markov": first_order_markov(train.items, train.positions, data.support, test.items),
    }


@pytest.fixture(scope="module")
def rsc15(shared):
    path, columns = shared / "data" / "recsys" / "rsc15_100k.npz", Columns()
    logs = [in_order(read_log("npz", path, columns, name)[0])[0] for name in ("train_full", "test")]
    return number_items(*logs)


@pytest.mark.parametrize("name", REFERENCE)
def test_measured_table_of_rsc15(rsc15, name):
    test = rsc15.test
    above, level = baseline_places(models(rsc15)[name], test.items, test.positions)
    assert len(above) == 10_152
    values = session_metrics(ranks(above, level), (5, 10, 20))
    ours = [float(np.mean(values[f"{metric}@{n}"])) for metric in ("recall", "mrr") for n in (5, 10, 20)]
    np.testing.assert_allclose(ours, REFERENCE[name], atol=5.1e-6)


def test_scores_by_loop():
    data = number_items(random_log(seed=1), random_log(10, seed=2))
    train, test, items = data.train, data.test, len(data.item_ids)
    lists = [train.items[a:b] for a, b in zip(train.starts[:-1], train.starts[1:], strict=True)]
    support = np.bincount(train.items, minlength=items)
    follows, together = np.zeros((2, items, items))
    for session in lists:
        for p, i in enumerate(session):
            if p:
                follows[session[p - 1], i] += 1
            for j in session:
                together[i, j] += i != j
    similar = together / np.sqrt(np.outer(support + 20, support + 20))
    events = np.flatnonzero(test.positions > 0)
    found = {name: scores(events) for name, scores in models(data).items()}
    for row, event in enumerate(events):
        before = test.items[event - test.positions[event] : event]
        seen = np.bincount(before, minlength=items)
        np.testing.assert_allclose(found["popularity"][row], support)
        np.testing.assert_allclose(found["s-pop"][row], seen + support / (support.max() + 1))
        np.testing.assert_allclose(found["item-knn"][row], similar[before[-1]])
        np.testing.assert_allclose(found["markov"][row], follows[before[-1]])
    above, level = baseline_places(models(data)["markov"], test.items, test.positions, rows=7)
    own = found["markov"][np.arange(len(events)), test.items[events]]
    np.testing.assert_array_equal(above, (found["markov"] > own[:, None]).sum(1))
    np.testing.assert_array_equal(level, (found["markov"] == own[:, None]).sum(1))


def test_only_the_hundred_nearest_neighbours_count():
    """Item 0 is with 150 others once each: of equal similarity the first hundred stay."""
    items = np.array([[0, other] for other in range(1, 151)]).reshape(-1)
    session = np.repeat(np.arange(150), 2)
    scores = item_neighbours(items, session, np.bincount(items), np.array([0, 1]))(np.array([1]))
    np.testing.assert_array_equal(np.flatnonzero(scores[0]), np.arange(1, 101))
