import numpy as np
import pytest

from train.data.simulated_users import LEAST_ITEMS, NAME, simulated_users


@pytest.fixture(scope="module")
def events():
    return simulated_users(300, 200, seed=3)


def test_a_function_of_its_arguments(events):
    again, other = simulated_users(300, 200, seed=3), simulated_users(300, 200, seed=4)
    np.testing.assert_array_equal(again.item, events.item)
    assert not np.array_equal(other.item, events.item)


def test_every_user_chooses_each_item_once(events):
    pairs = events.user.astype(int) * 200 + events.item
    assert len(np.unique(pairs)) == len(pairs)
    counts = np.bincount(events.user, minlength=300)
    assert counts.min() >= LEAST_ITEMS and counts.max() <= 60
    assert np.median(counts) < counts.mean()  # few long histories
    assert (np.diff(events.time)[np.diff(events.user) == 0] == 1).all()


def test_popularity_is_skewed_and_tastes_are_shared(events):
    counts = np.sort(np.bincount(events.item, minlength=200))[::-1]
    assert counts[:20].sum() > 2 * counts.sum() / 10  # twice what they had if all were alike
    # Users choose by tastes, so that pairs of items occur together more unequally than under independence.
    x = np.zeros((300, 200))
    x[events.user, events.item] = 1
    together, independent = x.T @ x, np.outer(x.sum(0), x.sum(0)) / 300
    off = ~np.eye(200, dtype=bool) & (independent > 5)
    assert (together[off] / independent[off]).std() > 0.3


def test_popularity_says_less_of_narrow_tastes(events):
    """The most popular tenth of the items has a smaller share of the events, and the name says what they are."""

    def share(population):
        found = simulated_users(300, 200, seed=3, population=population)
        counts = np.sort(np.bincount(found.item, minlength=200))[::-1]
        return counts[:20].sum() / counts.sum(), found.name

    broad, narrow = share("broad"), share("narrow")
    assert narrow[0] < broad[0] and broad[1] == NAME == events.name and narrow[1] == f"{NAME}-narrow"
