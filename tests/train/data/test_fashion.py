"""Records of items with images: the split by a loop, the file's own test records, and every way to be wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data import interactions
from train.data.fashion import read_npz, scaled, split
from train.errors import UserError

ITEMS = 30


def make_pairs(seed=0, users=12, least=3, most=12):
    """Users 0, 2, 4, ... with different items each."""
    rng = np.random.default_rng(seed)
    rows = {2 * u: rng.permutation(ITEMS)[: rng.integers(least, most)] for u in range(users)}
    user = np.concatenate([np.full(len(row), u) for u, row in rows.items()])
    order = rng.permutation(len(user))
    return user[order], np.concatenate(list(rows.values()))[order], rows


def fields(seed=0):
    user, item, _ = make_pairs(seed)
    rng = np.random.default_rng(seed)
    return {
        "triples": np.stack([user, item, np.ones_like(user), np.arange(len(user))], 1),
        "is_test": rng.random(len(user)) < 0.2,
        "feat": rng.random((ITEMS, 4)).astype(np.float32),
        "category": rng.integers(0, 3, ITEMS),
    }


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_leave_one_out(pairs, seed):
    """Of every user with five records one each for validation and test, the others for training."""
    user, item, rows = make_pairs(pairs)
    train, validation, test, dropped = split(user, item, ITEMS, None, seed)
    kept = [row for row in rows.values() if len(row) >= 5]
    assert train.shape == (len(kept), ITEMS) and validation.shape == test.shape == (len(kept), 1)
    assert dropped["users with too few records"] == len(rows) - len(kept)
    for place, row in enumerate(kept):
        learned = set(train[[place]].indices.tolist())
        back = {int(validation[place, 0]), int(test[place, 0])}
        assert len(back) == 2 and not learned & back and learned | back == set(row.tolist())


def test_chance_is_the_seeds_alone():
    user, item, _ = make_pairs(users=60, least=5)
    first, again, other = (split(user, item, ITEMS, None, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[2], again[2])
    assert (first[2] != other[2]).mean() > 0.5
    # Nor does it matter in which order the records are.
    back = split(user[::-1], item[::-1], ITEMS, None, 0)
    np.testing.assert_array_equal(first[2], back[2])


def test_every_record_is_as_likely_to_be_kept_back():
    user, item = np.repeat(np.arange(2000), 5), np.tile(np.arange(5), 2000)
    _, validation, test, _ = split(user, item, 5, None, 0)
    for held in (validation, test):
        np.testing.assert_allclose(np.bincount(held[:, 0]) / 2000, 0.2, atol=0.04)


def test_test_records_of_the_file():
    user, item, _ = make_pairs(3, users=40)
    is_test = np.random.default_rng(0).random(len(user)) < 0.3
    train, validation, test, dropped = split(user, item, ITEMS, is_test, 0)
    place = 0
    for u in np.unique(user):
        own, tested = set(item[user == u].tolist()), set(item[(user == u) & is_test].tolist())
        if len(own) < 5 or len(own - tested) < 2:
            continue
        assert set(test[place].tolist()) - {ITEMS} == tested
        learned = set(train[[place]].indices.tolist())
        assert (
            learned == own - tested - {int(validation[place, 0])}
            and int(validation[place, 0]) in own - tested
        )
        place += 1
    assert place == len(test) and dropped["users with too few records"] == 40 - place


def test_repeated_records_count_once():
    user, item, _ = make_pairs(least=5)
    once, twice = split(user, item, ITEMS, None, 0), split(np.tile(user, 2), np.tile(item, 2), ITEMS, None, 0)
    np.testing.assert_array_equal(once[0].indices, twice[0].indices)
    assert once[3]["repeated records"] == 0 and twice[3]["repeated records"] == len(user)


def test_too_few_records():
    with pytest.raises(UserError, match="no user has 5 records"):
        split(np.asarray([0, 0, 1]), np.asarray([0, 1, 2]), 3, None, 0)


def test_scaled_features():
    ours = scaled(np.asarray([[1.0, 5.0, -2.0], [3.0, 5.0, 0.0], [2.0, 5.0, 2.0]]))
    np.testing.assert_allclose(ours, [[0, 0, 0], [1, 0, 0.5], [0.5, 0, 1]])
    assert ours.dtype == np.float32


def test_features_near_the_largest_number_are_scaled():
    huge = np.asarray([[3e38], [-3e38], [0.0]], np.float32)
    np.testing.assert_array_equal(scaled(huge), np.float32([[1], [0], [0.5]]))


def test_file(tmp_path):
    given = fields()
    np.savez(tmp_path / "clothes.npz", **given, category_names=np.array(["hat", "shoe", "bag"]))
    data = read_npz(tmp_path / "clothes.npz")
    assert data.name == "clothes" and data.category_names == ("hat", "shoe", "bag")
    np.testing.assert_array_equal(data.categories[:, 0], given["category"])
    np.testing.assert_array_equal(data.clicks(), np.asarray(data.train.sum(0)).ravel())
    known = data.known()
    kept = np.concatenate([data.validation, data.test], axis=1)
    for user in range(data.users):
        own = set(known[[user]].indices.tolist())
        learned = data.train[[user]].indices.tolist()
        assert own == {*learned, *kept[user].tolist()} and len(own) == len(learned) + 2
    assert interactions.size(data.train) == (data.users, data.items)
    own_test = read_npz(tmp_path / "clothes.npz", held="file")
    assert own_test.test.shape[1] > 1 and (own_test.test == ITEMS).any()
    several = np.stack([given["category"], np.full(ITEMS, -1)], 1)
    np.savez(tmp_path / "several.npz", **{**given, "category": several})
    np.testing.assert_array_equal(read_npz(tmp_path / "several.npz").categories, several)


def spoiled(field, array):
    """What a file may have instead."""
    match field:
        case "triples":
            return (
                array[:, :1],
                array[:0],
                array + 0.5,
                array - 1,
                np.where(array == array[0, 1], ITEMS, array),
            )
        case "feat":
            nan = np.where(np.arange(ITEMS)[:, None] == 7, np.nan, array)
            return array[:-5], array[0], nan, array.astype(str)
        case "category":
            return array[:-1], array - 2, array + 0.5, array[:, None, None], np.full(ITEMS, -1)
        case _:
            return array[:-1], array[:, None], array * np.nan


@pytest.mark.parametrize("field", ["triples", "feat", "category", "is_test"])
def test_a_bad_file_is_named_with_its_field(field, tmp_path):
    given, path = fields(), tmp_path / "bad.npz"
    for wrong in (None, *spoiled(field, given[field])):
        rest = {name: array for name, array in given.items() if name != field}
        np.savez(path, **rest, **({} if wrong is None else {field: wrong}))
        with pytest.raises(UserError) as error:
            read_npz(path, held="file")
        # Features of too few items are seen where the records or the categories point beyond them.
        blamed = (
            ("triples", "category") if field == "feat" and np.shape(wrong) == (ITEMS - 5, 4) else (field,)
        )
        assert error.value.field == "--data.path" and "bad.npz" in str(error.value)
        assert any(f"'{name}'" in str(error.value) for name in blamed), str(error.value)


def test_a_file_without_test_records(tmp_path):
    given = fields()
    np.savez(tmp_path / "bad.npz", **{**given, "is_test": np.zeros_like(given["is_test"])})
    with pytest.raises(UserError, match=r"bad\.npz.*'is_test' names no test record"):
        read_npz(tmp_path / "bad.npz", held="file")
    assert read_npz(tmp_path / "bad.npz").test.size


def test_names_of_too_few_categories(tmp_path):
    np.savez(tmp_path / "bad.npz", **fields(), category_names=np.array(["hat"]))
    with pytest.raises(UserError, match="category_names"):
        read_npz(tmp_path / "bad.npz")


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", **{**fields(), "feat": np.array([{}], object)})
    for name, problem in (
        ("missing", "no such file"),
        ("text", "not a readable npz file"),
        ("objects", "feat holds Python objects, which are never read"),
    ):
        with pytest.raises(UserError, match=problem):
            read_npz(tmp_path / f"{name}.npz")


def test_semi_synthetic_data(shared):
    """What its README says of it; no user is dropped, and the test records are the file's."""
    data = read_npz(shared / "data" / "recsys" / "visual_semisynthetic.npz", held="file")
    assert (data.users, data.items, data.features.shape[1]) == (1500, 1797, 64)
    assert (data.test < data.items).sum() == 5183 and not any(data.dropped.values())
    assert data.train.nnz == 28_932 - 5183 - 1500
