import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.generalisation import core, from_training, read_split, strong, weak
from train.data.interactions import from_pairs, pairs, row_lengths
from train.errors import UserError


def events(users=60, items=30, seed=0):
    """Each user some of the items, in an order of time."""
    random = np.random.default_rng(seed)
    rows = [random.permutation(items)[: random.integers(1, 15)] for _ in range(users)]
    return np.repeat(np.arange(users), [len(row) for row in rows]), np.concatenate(rows)


def same(matrix, first_user, stored):
    user, item = pairs(matrix)
    return set(zip((user + first_user).tolist(), item.tolist(), strict=True)) == set(
        map(tuple, stored.tolist())
    )


def reference_events(shared, name):
    rows = np.load(shared / "data/recsys" / f"{name}.npz", allow_pickle=False)["triples"]
    rows = rows if name == "ml1m_ge4" else rows[rows[:, 2] >= 4]
    return rows[np.lexsort((rows[:, 1], rows[:, 3], rows[:, 0]))].T[:2]


@pytest.mark.parametrize(("name", "file", "held"), [("ml1m", "ml1m_ge4", 1000), ("ml100k", "ml100k", 150)])
def test_strong_split_is_the_stored_one(shared, name, file, held):
    path = shared / "data/recsys" / f"split_{name}_strong.npz"
    stored, split = np.load(path, allow_pickle=False), strong(*reference_events(shared, file), held)
    np.testing.assert_array_equal(split.users, stored["user_ids"])
    np.testing.assert_array_equal(split.items, stored["item_ids"])
    first = split.train.shape[0]
    assert same(split.train, 0, stored["train"])
    for part, key, start in ((split.validation, "vad", first), (split.test, "test", first + held)):
        assert same(part.given, start, stored[f"{key}_tr"]) and same(part.held, start, stored[f"{key}_te"])
        assert (part.user == -1).all()
    read, ids = read_split(path, "strong")
    assert ids == [str(item) for item in stored["item_ids"]]
    assert (read.train != split.train).nnz == 0
    for one, other in ((read.validation, split.validation), (read.test, split.test)):
        assert (one.given != other.given).nnz == 0 and (one.held != other.held).nnz == 0


def test_weak_split_is_the_stored_one(shared):
    path = shared / "data/recsys" / "split_ml100k_weak.npz"
    stored, split = np.load(path, allow_pickle=False), weak(*reference_events(shared, "ml100k"))
    np.testing.assert_array_equal(split.users, stored["user_ids"])
    np.testing.assert_array_equal(split.items, stored["item_ids"])
    assert split.final is not None
    assert same(split.final, 0, stored["train"]) and same(split.test.held, 0, stored["test"])
    read, _ = read_split(path, "weak")
    assert (read.train != split.train).nnz == 0 and (read.validation.held != split.validation.held).nnz == 0


def test_strong_split_divides_users_and_held_out_users_items():
    user, item = events()
    split = strong(user, item, 10)
    kept = np.unique(user)[np.bincount(user) >= 5]
    assert sorted(split.users.tolist()) == kept.tolist()
    assert split.train.shape[0] == len(kept) - 20
    for part, first in ((split.validation, len(kept) - 20), (split.test, len(kept) - 10)):
        for row, name in enumerate(split.users[first : first + 10]):
            given, held = (set(split.items[side[[row]].indices].tolist()) for side in (part.given, part.held))
            known = set(item[user == name].tolist()) & set(split.items.tolist())
            assert given | held == known and not given & held
            assert len(held) == (int(0.2 * len(known)) if len(known) >= 5 else 0)
    assert split.dropped["users with fewer than 5 items"] == 60 - len(kept)


def test_weak_split_keeps_every_user_everywhere():
    user, item = events()
    split = weak(user, item)
    assert split.final is not None and split.final.shape[0] == split.test.held.shape[0] == len(split.users)
    total = row_lengths(split.final) + row_lengths(split.test.held)
    np.testing.assert_array_equal(row_lengths(split.test.held), np.floor(0.2 * total))
    assert split.final.multiply(split.test.held).nnz == 0
    assert split.train.multiply(split.validation.held).nnz == 0
    assert ((split.train + split.validation.held) != split.final).nnz == 0
    np.testing.assert_array_equal(
        row_lengths(split.validation.held), np.floor(0.2 * row_lengths(split.final))
    )
    assert total.min() >= 5 and min(np.asarray((split.final + split.test.held).sum(0)).ravel()) >= 5


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40, unique=True))
def test_core_is_what_one_at_a_time_leaves(rows):
    left = list(rows)
    while True:
        bad = [
            row
            for row in left
            if sum(r[0] == row[0] for r in left) < 2 or sum(r[1] == row[1] for r in left) < 2
        ]
        if not bad:
            break
        left.remove(bad[0])
    user, item = np.array(rows).T
    assert [row for row, kept in zip(rows, core(user, item, 2), strict=True) if kept] == left


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda u, i: strong(u, i, 40), "--data.held-out-users"),
        (lambda u, i: strong(u, i, 10, least=1000), "--data.held-out-users"),
        (lambda u, i: weak(u, i, least=1000), "--data.min-user-items"),
        (lambda u, i: from_training(*[from_pairs(u[:1], i[:1], (60, 30))[0]] * 2), "hold one of them out"),
    ],
)
def test_too_little_is_one_clear_error(call, expected):
    with pytest.raises(UserError, match=expected):
        call(*events())


def test_bad_split_files_are_named(tmp_path):
    path = tmp_path / "split.npz"
    with pytest.raises(UserError, match=r"split\.npz.*not a readable"):
        read_split(path, "weak")
    np.savez(path, train=np.zeros((3, 2), int), item_ids=np.arange(2))
    with pytest.raises(UserError, match="no array 'test'"):
        read_split(path, "weak")
    np.savez(path, train=np.zeros((3, 2), int), test=np.full((1, 2), 5), item_ids=np.arange(2))
    with pytest.raises(UserError, match=r"split\.npz.*'test'"):
        read_split(path, "weak")
    np.savez(path, train=np.zeros((3, 2), int), test=np.zeros((1, 2), int), item_ids=np.int64(3))
    with pytest.raises(UserError, match=r"split\.npz.*'item_ids' has 0 dimensions"):
        read_split(path, "weak")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"split\.npz.*not a readable"):
        read_split(path, "weak")


PARTS = {
    "train": [[0, 0], [1, 1]],
    "vad_tr": [[2, 0]],
    "vad_te": [[2, 1]],
    "test_tr": [[3, 0]],
    "test_te": [[3, 1]],
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"vad_tr": [[1, 0]]}, "'train' and 'vad_tr' share 1 users"),
        ({"test_te": [[0, 1]]}, "'train' and 'test_te' share 1 users"),
        ({"test_tr": [[2, 1], [3, 0]]}, "'vad_tr' and 'test_tr' share 1 users"),
        ({"vad_te": [[2, 0]]}, "'vad_tr' and 'vad_te' share 1 pairs"),
        ({"test_te": [[3, 0], [3, 1]]}, "'test_tr' and 'test_te' share 1 pairs"),
    ],
)
def test_parts_that_tell_what_is_tested_are_refused(changed, expected, tmp_path):
    np.savez(tmp_path / "split.npz", **PARTS, item_ids=np.arange(2))
    assert read_split(tmp_path / "split.npz", "strong")[0].train.shape == (2, 2)
    np.savez(tmp_path / "split.npz", **{**PARTS, **changed}, item_ids=np.arange(2))
    with pytest.raises(UserError, match=rf"split\.npz: {expected}"):
        read_split(tmp_path / "split.npz", "strong")


def test_weak_parts_share_no_pair(tmp_path):
    np.savez(tmp_path / "split.npz", train=[[0, 0], [0, 1]], test=[[0, 1]], item_ids=np.arange(2))
    with pytest.raises(UserError, match=r"split\.npz: 'train' and 'test' share 1 pairs"):
        read_split(tmp_path / "split.npz", "weak")


def test_a_split_brings_its_own_validation_part(tmp_path):
    """It chooses as it is, and what is tested learns from it too; without it one is drawn, as before."""
    parts = {"train": [[0, 0], [0, 3], [1, 1]], "validation": [[0, 1], [1, 0]], "test": [[0, 2], [1, 2]]}
    np.savez(tmp_path / "split.npz", **parts, item_ids=np.arange(4))
    split, _ = read_split(tmp_path / "split.npz", "weak")
    np.testing.assert_array_equal(split.train.toarray(), [[1, 0, 0, 1], [0, 1, 0, 0]])
    np.testing.assert_array_equal(split.validation.held.toarray(), [[0, 1, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(split.validation.given.toarray(), split.train.toarray())
    assert split.final is not None
    np.testing.assert_array_equal(split.final.toarray(), [[1, 1, 0, 1], [1, 1, 0, 0]])
    np.testing.assert_array_equal(split.test.given.toarray(), split.final.toarray())
    np.testing.assert_array_equal(split.test.held.toarray(), [[0, 0, 1, 0], [0, 0, 1, 0]])


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ([[0, 0]], "'validation' and 'train' share 1 pairs"),
        ([[0, 2]], "'validation' and 'test' share 1 pairs"),
        ([[0, 9]], "'validation' is int64"),
        ([[0.5, 1]], "'validation' is float64"),
    ],
)
def test_a_validation_part_that_tells_or_does_not_fit(validation, expected, tmp_path):
    parts = {"train": [[0, 0], [0, 3], [1, 1]], "validation": validation, "test": [[0, 2], [1, 2]]}
    np.savez(tmp_path / "split.npz", **parts, item_ids=np.arange(4))
    with pytest.raises(UserError, match=expected):
        read_split(tmp_path / "split.npz", "weak")
