import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.xlsa17 import read_npz
from train.data.zero_shot import ZeroShotData, check, few_shot, first_rows, scale, validation_task
from train.errors import UserError

COUNTS = (6, 3, 9, 5, 7, 4, 8)
SEEN, UNSEEN = [0, 2, 3, 4, 6], [1, 5]
PINNED_SUPPORT = [238, 223, 244, 247, 222]
PINNED_TEST_SEEN, PINNED_UNSEEN = [6, 12, 13, 27, 33], [7, 15, 16, 24, 31]


def benchmark(**changes) -> ZeroShotData:
    """Seven classes in mixed order; two are unseen, and the last of every seen class's images are its test."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(7), COUNTS)).astype(np.int32)
    rank = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
    unseen, tests = np.isin(labels, UNSEEN), rank >= np.array(COUNTS)[labels] - 2
    rows = {"trainval": ~unseen & ~tests, "test_seen": ~unseen & tests, "test_unseen": unseen}
    fields = {
        "name": "toy",
        "features": rng.normal(size=(len(labels), 3)).astype(np.float32),
        "labels": labels,
        "attributes": {"attributes": np.eye(7, 4, dtype=np.float32) + 1},
        "class_names": tuple("abcdefg"),
        **{name: np.flatnonzero(chosen).astype(np.int32) for name, chosen in rows.items()},
    }
    return ZeroShotData(**(fields | changes))


@pytest.fixture
def snu(shared) -> ZeroShotData:
    return read_npz(shared / "data" / "gzsl" / "snu_b36_ex_vggish.npz", "features_x7", ("att_cat",))


def test_classes():
    data = benchmark()
    assert data.seen.tolist() == SEEN and data.unseen.tolist() == UNSEEN
    assert data.seen.dtype == data.unseen.dtype == np.int32
    assert not data.validation_classes.size


# Scaling ----------------------------------------------------------------------------------------------------


def test_scale_equals_the_definition():
    data = benchmark()
    train = data.features[data.trainval].astype(float)
    low, high = train.min(0), train.max(0)
    scaled = scale(data)
    np.testing.assert_allclose(scaled.features, (data.features - low) / (high - low), atol=1e-6)
    assert scaled.features.dtype == np.float32
    assert scaled.features[data.trainval].min() == 0 and scaled.features[data.trainval].max() == 1
    assert scaled.features.min() < 0 and scaled.features.max() > 1  # test rows are not clipped


def test_scale_of_features_near_the_largest_number():
    data = benchmark()
    rows = np.linspace(-3e38, 3e38, len(data.features), dtype=np.float32)
    huge = dataclasses.replace(data, features=np.repeat(rows[:, None], data.features.shape[1], 1))
    assert np.isfinite(scale(huge).features).all()


def test_scale_leaves_its_input_alone_and_shifts_a_constant():
    features = benchmark().features.copy()
    features[:, 1] = 7
    data = benchmark(features=features)
    features = data.features.copy()
    scaled = scale(data)
    np.testing.assert_array_equal(data.features, features)
    assert (scaled.features[:, 1] == 0).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 100), st.floats(-100, 100))
def test_scale_undoes_an_affine_map(factor, shift):
    data = benchmark()
    moved = dataclasses.replace(data, features=(data.features * factor + shift).astype(np.float32))
    np.testing.assert_allclose(
        scale(moved).features, scale(data).features, atol=1e-4
    )  # rounding of the shift


def test_scale_ignores_test_rows():
    data = benchmark()
    features = data.features.copy()
    features[data.test_unseen] *= 100
    other = scale(dataclasses.replace(data, features=features))
    np.testing.assert_array_equal(other.features[data.trainval], scale(data).features[data.trainval])


# Rows of a class --------------------------------------------------------------------------------------------


def test_first_rows_equal_the_official_choice(shared):
    with np.load(shared / "parity" / "cada_cls.npz", allow_pickle=False) as golden:
        labels, features = golden["pick_labels"], golden["pick_in"]
        rows = first_rows(np.arange(len(labels)), labels, int(golden["pick_n"]))
        np.testing.assert_array_equal(features[rows], golden["pick_out"])
        np.testing.assert_array_equal(labels[rows], golden["pick_out_labels"])


def test_first_rows_in_stored_order():
    rows, labels = np.array([9, 4, 7, 1, 3]), np.array([2, 0, 2, 2, 0])
    assert first_rows(rows, labels, 2).tolist() == [4, 3, 9, 7]
    assert first_rows(rows, labels, 5).tolist() == [4, 3, 4, 3, 4, 9, 7, 1, 9, 7]
    assert first_rows(rows, labels, 0).tolist() == []
    empty = first_rows(rows[:0], labels[:0], 5)
    assert empty.size == 0 and empty.dtype == np.int32


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 40))
def test_first_rows_equal_a_loop(labels, n):
    wanted = []
    for label in sorted(set(labels)):
        own = [row for row, other in enumerate(labels) if other == label]
        wanted += [own[i % len(own)] for i in range(n)]
    assert first_rows(np.arange(len(labels)), np.array(labels), n).tolist() == wanted


# Few shots --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [1, 2])
def test_few_shot_moves_rows(shots):
    data = benchmark()
    rest, support = few_shot(data, shots, seed=3)
    assert support.dtype == rest.test_unseen.dtype == np.int32
    assert data.labels[support].tolist() == np.repeat(UNSEEN, shots).tolist()
    np.testing.assert_array_equal(np.sort(np.concatenate([rest.test_unseen, support])), data.test_unseen)
    assert (np.diff(rest.test_unseen) > 0).all()  # what remains keeps its order
    assert rest.trainval is data.trainval and rest.test_seen is data.test_seen
    assert few_shot(data, shots, seed=3)[1].tolist() == support.tolist()


def test_more_shots_add_to_fewer():
    few, more = (few_shot(benchmark(), shots, seed=1)[1].reshape(2, shots) for shots in (1, 2))
    np.testing.assert_array_equal(more[:, :1], few)


def test_every_image_is_drawn_equally_often(snu):
    """Chi-square of how often each row of a class of 50 is support: about its degrees of freedom."""
    seeds, shots = 200, 5
    drawn = np.concatenate([few_shot(snu, shots, seed)[1] for seed in range(seeds)])
    counts = np.bincount(drawn, minlength=len(snu.labels))[snu.test_unseen]
    expected = seeds * shots / 50
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(snu.unseen) * 49 * (1 - shots / 50)
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_pinned_few_shot(snu):
    """The support of published runs: these numbers may never change."""
    rest, support = few_shot(snu, 5, seed=0)
    assert (len(support), len(rest.test_unseen)) == (170, 1530)
    assert support[:5].tolist() == PINNED_SUPPORT


def test_too_many_shots():
    with pytest.raises(UserError, match=r"shots = 3: unseen class 1 \(b\) has 3 test images"):
        few_shot(benchmark(), 3, seed=0)


# The validation task ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [[], [3, 4], [4, 5], [1], SEEN])
@pytest.mark.parametrize("seed", [0, 1])
def test_validation_uses_training_rows_only(named, seed):
    data = benchmark(validation_classes=np.array(named, np.int32))
    task = validation_task(data, seed)
    rows = np.concatenate([task.trainval, task.test_seen, task.test_unseen])
    np.testing.assert_array_equal(np.sort(rows), data.trainval)
    assert set(task.seen) | set(task.unseen) == set(SEEN) and not set(task.seen) & set(task.unseen)
    np.testing.assert_array_equal(np.unique(task.labels[task.test_seen]), task.seen)
    assert all(part.dtype == np.int32 for part in (task.trainval, task.test_seen, task.test_unseen))
    assert task.features is data.features and task.labels is data.labels
    assert not task.validation_classes.size
    usable = set(named) & set(SEEN)
    if usable and usable != set(SEEN):
        assert set(task.unseen) == usable
    else:
        assert len(task.unseen) == round(5 * 2 / 7)  # the unseen share of all classes


def test_validation_keeps_shares_on_real_data(snu):
    """The benchmark's own classes for validation, and a fifth of the images of the rest for the seen test."""
    task = validation_task(snu)
    assert task.unseen.tolist() == snu.validation_classes.tolist() and len(task.seen) == 102
    assert [len(part) for part in (task.trainval, task.test_seen, task.test_unseen)] == [3264, 816, 1320]
    assert (np.bincount(task.labels[task.test_seen])[task.seen] == 8).all()


def test_pinned_validation(snu):
    """The validation of published runs: these numbers may never change."""
    assert validation_task(snu).test_seen[:5].tolist() == PINNED_TEST_SEEN
    unnamed = dataclasses.replace(snu, validation_classes=np.empty(0, np.int32))
    assert validation_task(unnamed).unseen[:5].tolist() == PINNED_UNSEEN
    assert len(validation_task(unnamed).unseen) == round(135 * 34 / 169)


def test_validation_seeds_differ(snu):
    unnamed = dataclasses.replace(snu, validation_classes=np.empty(0, np.int32))
    first, second = validation_task(unnamed, 0), validation_task(unnamed, 1)
    assert first.unseen.tolist() != second.unseen.tolist()
    assert first.test_seen.tolist() != second.test_seen.tolist()


def test_too_small_for_validation():
    data = benchmark()
    alone = data.trainval[data.labels[data.trainval] == 0]
    with pytest.raises(UserError, match=r"--data.path = toy: has one seen class"):
        validation_task(dataclasses.replace(data, trainval=alone))
    single = np.sort(np.concatenate([alone[:1], data.trainval[data.labels[data.trainval] == 2]]))
    data = dataclasses.replace(data, trainval=single, validation_classes=np.array([2], np.int32))
    with pytest.raises(UserError, match=r"class 0 \(a\) has one training image"):
        validation_task(data)


# What is refused --------------------------------------------------------------------------------------------


def changed(array: np.ndarray, place, value) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


def mistakes():
    """Name, changed fields, and what the message says."""
    data = benchmark()
    first = data.trainval[0]
    table = data.attributes["attributes"]
    not_tested = data.test_seen[data.labels[data.test_seen] != 2]
    only_unseen = np.concatenate([data.test_unseen, data.trainval[data.labels[data.trainval] == 6]])
    yield "flat", {"features": data.features[:, 0]}, "'features' has shape [42]"
    yield "labels short", {"labels": data.labels[:-1]}, "'labels' has shape [41] beside features [42, 3]"
    yield "table short", {"attributes": {"words": table[:-1]}}, "'words' has shape [6, 4] beside 7 classes"
    yield "no attributes", {"attributes": {"words": table[:, :0]}}, "'words' has shape [7, 0]"
    yield "nan", {"features": changed(data.features, ([1, 5], [0, 2]), np.nan)}, "in rows 1, 5"
    yield (
        "infinite",
        {"features": changed(data.features, 4, -np.inf)},
        "'features' is NaN or infinite in row 4",
    )
    bad = {"attributes": table, "words": changed(table, (2, 1), np.nan)}
    yield "nan attribute", {"attributes": bad}, "'words' is NaN or infinite in row 2"
    zeros = {"attributes": changed(table, slice(1, 6), 0)}
    yield "zeros", {"attributes": zeros}, "'attributes' is all zeros in classes 1, 2, 3 and 2 more"
    yield "label high", {"labels": changed(data.labels, 3, 7)}, "'labels' holds class 7, not in 0..6"
    yield "label low", {"labels": changed(data.labels, 3, -1)}, "'labels' holds class -1"
    yield "row high", {"test_seen": changed(data.test_seen, 0, 42)}, "'test_seen' holds row 42, not in 0..41"
    yield "row low", {"trainval": changed(data.trainval, 0, -1)}, "'trainval' holds row -1"
    for name in ("trainval", "test_seen", "test_unseen"):
        yield f"empty {name}", {name: data.trainval[:0]}, f"'{name}' is empty"
    overlap = np.append(data.test_seen, first)
    yield "overlap", {"test_seen": overlap}, f"'test_seen' overlaps 'trainval' in row {first}"
    yield "twice", {"trainval": np.append(data.trainval, first)}, "'trainval' holds a row more than once"
    yield "leak", leak(data), "'trainval' holds images of unseen class 1 (b)"
    yield "untrained", {"trainval": without(data, 2)}, "'test_seen' holds images of class 2 (c)"
    yield "untested", {"test_seen": not_tested}, "'test_seen' holds no image of class 2 (c)"
    names, more = (*"abcdefgh",), {"attributes": np.ones((8, 4), np.float32)}
    yield (
        "no images",
        {"class_names": names, "attributes": more},
        "'labels' give no image of any split to class 7",
    )
    moved = {"trainval": without(data, 6), "test_unseen": only_unseen}
    yield "unseen is tested as seen", moved, "'test_seen' holds images of class 6 (g)"


def leak(data: ZeroShotData) -> dict[str, np.ndarray]:
    """An unseen class's image for training."""
    row = data.test_unseen[data.labels[data.test_unseen] == 1][:1]
    rest = data.test_unseen[data.test_unseen != row]
    return {"trainval": np.concatenate([data.trainval, row]), "test_unseen": rest}


def without(data: ZeroShotData, label: int) -> np.ndarray:
    return data.trainval[data.labels[data.trainval] != label]


@pytest.mark.parametrize(("changes", "message"), [pytest.param(*rest, id=name) for name, *rest in mistakes()])
def test_refused(changes, message):
    with pytest.raises(UserError) as caught:
        check(benchmark(**changes), "toy.npz")
    assert str(caught.value).startswith("--data.path = toy.npz: ") and "\n" not in str(caught.value)
    assert message in str(caught.value)


def test_the_name_of_the_file_is_used():
    with pytest.raises(UserError, match=r"--data.path = toy: 'test_seen_loc' of att_splits.mat is empty"):
        check(
            benchmark(test_seen=np.empty(0, np.int32)),
            "toy",
            {"test_seen": "'test_seen_loc' of att_splits.mat"},
        )


def test_good_data_pass(snu):
    check(benchmark(), "toy")
    check(snu, "snu")
