import pathlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from train.data.xlsa17 import read_npz, read_xlsa17
from train.data.zero_shot import ZeroShotData
from train.errors import UserError

RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 3] * 6)
FEATURES = RNG.normal(size=(24, 5))
ATT = RNG.uniform(0.1, 1, (4, 3))
SENTENCES = RNG.normal(size=(4, 6))
NAMES = ("antelope", "blue+whale", "cat", "dog")
TRAINVAL = np.flatnonzero(LABELS < 3)[:12]
TEST_SEEN, TEST_UNSEEN = np.flatnonzero(LABELS < 3)[12:], np.flatnonzero(LABELS == 3)
TRAIN = np.flatnonzero(LABELS < 2)
VALIDATION = np.flatnonzero(LABELS == 2)
ROWS = {
    "trainval_loc": TRAINVAL,
    "test_seen_loc": TEST_SEEN,
    "test_unseen_loc": TEST_UNSEEN,
    "train_loc": TRAIN,
    "val_loc": VALIDATION,
}


def cells(texts) -> np.ndarray:
    """A MATLAB cell array, as a column."""
    column = np.empty((len(texts), 1), object)
    column[:, 0] = texts
    return column


def images_mat(**changes) -> dict:
    fields = {"features": FEATURES.T, "labels": LABELS[:, None] + 1.0, "image_files": cells(["a.jpg"] * 24)}
    return merged(fields, changes)


def splits_mat(**changes) -> dict:
    rows = {key: value[:, None] + 1.0 for key, value in ROWS.items()}
    return merged(
        {"att": ATT.T, "original_att": 100 * ATT.T, "allclasses_names": cells(NAMES), **rows}, changes
    )


def npz_fields(**changes) -> dict:
    return merged({"features": FEATURES, "labels": LABELS, "att": ATT, "class_names": NAMES, **ROWS}, changes)


def merged(fields: dict, changes: dict) -> dict:
    """The fields, changed; one that is changed to None is left out."""
    return {key: value for key, value in (fields | changes).items() if value is not None}


def write_folder(folder: pathlib.Path, images=None, splits=None, **options) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    scipy.io.savemat(folder / "res101.mat", images or images_mat(), **options)
    scipy.io.savemat(folder / "att_splits.mat", splits or splits_mat(), **options)
    return folder


def write_hdf5(path: pathlib.Path, fields: dict) -> None:
    """MATLAB's version 7.3: HDF5 behind a header of 512 bytes, axes in reverse, texts by reference."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in fields.items():
            if value.dtype != object:
                file[key] = value.T
                continue
            texts = [np.array([[ord(c)] for c in text], np.uint16) for text in value[:, 0]]
            for i, text in enumerate(texts):
                file[f"#refs#/{key}{i}"] = text
            references = [file[f"#refs#/{key}{i}"].ref for i in range(len(texts))]
            file.create_dataset(key, data=np.array([references], object), dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write_npz(path: pathlib.Path, **changes) -> pathlib.Path:
    np.savez(path, **npz_fields(**changes))
    return path


def assert_is_the_benchmark(data: ZeroShotData, names=NAMES):
    assert data.features.dtype == np.float32 and data.features.flags.c_contiguous
    np.testing.assert_array_equal(data.features, FEATURES.astype(np.float32))
    np.testing.assert_array_equal(data.attributes["attributes"], ATT.astype(np.float32))
    assert data.attributes["attributes"].dtype == np.float32 and data.class_names == names
    for found, wanted in (
        (data.labels, LABELS),
        (data.trainval, TRAINVAL),
        (data.test_seen, TEST_SEEN),
        (data.test_unseen, TEST_UNSEEN),
        (data.validation_classes, [2]),
    ):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, wanted)


def error(reader, *arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        reader(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("compress", [False, True])
def test_mat(tmp_path, compress):
    data = read_xlsa17(write_folder(tmp_path / "AWA2", do_compression=compress))
    assert data.name == "AWA2"
    assert_is_the_benchmark(data)


def test_mat_of_version_4(tmp_path):
    """It holds matrices only: classes have no name."""
    splits = splits_mat(allclasses_names=None)
    folder = write_folder(tmp_path, images_mat(image_files=None), splits, format="4")
    assert_is_the_benchmark(read_xlsa17(folder), ("class 1", "class 2", "class 3", "class 4"))


def test_mat_of_version_7_3(tmp_path):
    write_hdf5(tmp_path / "res101.mat", images_mat())
    write_hdf5(tmp_path / "att_splits.mat", splits_mat())
    assert_is_the_benchmark(read_xlsa17(tmp_path))


def test_names_as_a_character_matrix(tmp_path):
    folder = write_folder(tmp_path, splits=splits_mat(allclasses_names=list(NAMES)))
    assert_is_the_benchmark(read_xlsa17(folder))


def test_several_kinds_of_attributes_in_order(tmp_path):
    folder = write_folder(tmp_path)
    scipy.io.savemat(folder / "sent_splits.mat", {"att": SENTENCES.T})
    data = read_xlsa17(folder, ("sent_splits.mat:att", "att", "original_att"))
    assert list(data.attributes) == ["sent_splits.mat:att", "attributes", "original_att"]
    np.testing.assert_array_equal(data.attributes["sent_splits.mat:att"], SENTENCES.astype(np.float32))
    np.testing.assert_allclose(data.attributes["original_att"], 100 * ATT, rtol=1e-6)


def test_npz(tmp_path):
    data = read_npz(write_npz(tmp_path / "mine.npz"))
    assert data.name == "mine"
    assert_is_the_benchmark(data)


def test_npz_fields_by_name(tmp_path):
    path = write_npz(
        tmp_path / "mine.npz", features=None, x=FEATURES.astype("u1"), att=None, a=ATT, b=SENTENCES
    )
    data = read_npz(path, "x", ("b", "a"))
    np.testing.assert_array_equal(data.features, FEATURES.astype("u1"))
    assert [(kind, table.shape) for kind, table in data.attributes.items()] == [("b", (4, 6)), ("a", (4, 3))]


@pytest.mark.parametrize("absent", ["train_loc", "val_loc"])
def test_validation_classes_are_unknown_without_both_splits(tmp_path, absent):
    assert not read_npz(write_npz(tmp_path / "a.npz", **{absent: None})).validation_classes.size
    folder = write_folder(tmp_path, splits=splits_mat(**{absent: None}))
    assert not read_xlsa17(folder).validation_classes.size


def test_a_class_in_both_splits_is_no_validation_class(tmp_path):
    path = write_npz(tmp_path / "a.npz", train_loc=TRAIN, val_loc=np.concatenate([VALIDATION, TRAIN[:1]]))
    assert read_npz(path).validation_classes.tolist() == [2]


def test_shared_set(shared):
    path = shared / "data" / "gzsl" / "snu_b36_ex_vggish.npz"
    data = read_npz(path, "features_x7", ("att_cat", "att_la"))
    assert data.features.shape == (8450, 128) and data.features.dtype == np.float32
    assert {kind: table.shape for kind, table in data.attributes.items()} == {
        "att_cat": (169, 22),
        "att_la": (169, 7),
    }
    assert (len(data.trainval), len(data.test_seen), len(data.test_unseen)) == (5400, 1350, 1700)
    assert (len(data.seen), len(data.unseen), len(data.validation_classes)) == (135, 34, 33)
    assert set(data.validation_classes) < set(data.seen)


# What is refused --------------------------------------------------------------------------------------------


def column(values) -> np.ndarray:
    return np.asarray(values, float)[:, None] + 1


@pytest.mark.parametrize("key", ["features", "labels"])
def test_missing_field_of_the_images(tmp_path, key):
    message = error(read_xlsa17, write_folder(tmp_path, images_mat(**{key: None})))
    assert message.startswith(f"--data.path = {tmp_path / 'res101.mat'}: {key!r} is missing; get the files")


@pytest.mark.parametrize("key", ["att", "trainval_loc", "test_seen_loc", "test_unseen_loc"])
def test_missing_field_of_the_splits(tmp_path, key):
    message = error(read_xlsa17, write_folder(tmp_path, splits=splits_mat(**{key: None})))
    assert message.startswith(
        f"--data.path = {tmp_path / 'att_splits.mat'}: {key!r} is missing; get the files"
    )


IMAGE_MISTAKES = {
    "nan": ({"features": np.where(np.arange(24) == 7, np.nan, FEATURES.T)}, "is NaN or infinite in row 8"),
    "too large": ({"features": FEATURES.T * 1e300}, "is NaN or infinite in rows 1, 2, 3 and 21 more"),
    "not transposed": (
        {"features": FEATURES},
        "'features' of res101.mat has shape [24, 5] for 24 labels, and features are [D, N]; transpose them",
    ),
    "label high": (
        {"labels": column(LABELS) + (LABELS == 3)[:, None]},
        "'labels' of res101.mat holds class 5, not in 1..4 (counted from 1); number the 4 classes",
    ),
    "label 0": (
        {"labels": column(LABELS) - 1},
        "'labels' of res101.mat holds class 0, not in 1..4 (counted from 1); count classes from 1",
    ),
    "label half": ({"labels": column(LABELS) + 0.5}, "'labels' holds something other than whole numbers"),
    "label nan": ({"labels": column(LABELS) + np.nan}, "'labels' holds something other than whole numbers"),
    "labels square": ({"labels": np.ones((2, 12))}, "'labels' has shape [12, 2] and should be a vector"),
    "few labels": (
        {"labels": column(LABELS[:-1])},
        "'labels' of res101.mat has shape [23] beside features [5, 24]",
    ),
    "text": ({"features": "none"}, "'features' is not an array of numbers"),
    "sparse": ({"features": scipy.sparse.csc_array(FEATURES.T)}, "'features' is not an array of numbers"),
    "3-D": ({"features": FEATURES.T[None]}, "'features' has shape [24, 5, 1] and should be a matrix"),
}
SPLIT_MISTAKES = {
    "zeros": (
        {"att": np.where(np.arange(4) == 1, 0, ATT.T)},
        "'att' of att_splits.mat is all zeros in class 2",
    ),
    "nan": (
        {"att": np.where(np.arange(4) == 1, np.nan, ATT.T)},
        "'att' of att_splits.mat is NaN or infinite",
    ),
    "few classes": ({"att": ATT[:3].T}, "'att' of att_splits.mat has shape [3, 3] beside 4 classes"),
    "overlap": (
        {"test_seen_loc": column(np.append(TEST_SEEN, TRAINVAL[2]))},
        f"'test_seen_loc' of att_splits.mat overlaps 'trainval' in row {TRAINVAL[2] + 1}",
    ),
    "row high": (
        {"trainval_loc": column([0, 24])},
        "'trainval_loc' of att_splits.mat holds row 25, not in 1..24",
    ),
    "row 0": ({"trainval_loc": column(TRAINVAL) - 1}, "'trainval_loc' of att_splits.mat holds row 0,"),
    "empty": ({"test_unseen_loc": np.zeros((0, 1))}, "'test_unseen_loc' of att_splits.mat is empty"),
    "validation": ({"val_loc": column([30])}, "'val_loc' holds rows outside 1..24"),
    "unseen class in training": (
        {"test_unseen_loc": column(VALIDATION[-1:]), "test_seen_loc": column(TEST_SEEN[:-1])},
        "'trainval_loc' of att_splits.mat holds images of unseen class 3 (cat)",
    ),
    "class without a test": (
        {"test_seen_loc": column(TEST_SEEN[LABELS[TEST_SEEN] > 0])},
        "'test_seen_loc' of att_splits.mat holds no image of class 1 (antelope)",
    ),
}


@pytest.mark.filterwarnings("ignore:The default value for `spmatrix`")  # SciPy, of sparse matrices
@pytest.mark.parametrize(("changes", "message"), IMAGE_MISTAKES.values(), ids=IMAGE_MISTAKES)
def test_mistakes_in_the_images(tmp_path, changes, message):
    found = error(read_xlsa17, write_folder(tmp_path, images_mat(**changes)))
    assert found.startswith(f"--data.path = {tmp_path}") and message in found and "res101.mat" in found


@pytest.mark.parametrize(("changes", "message"), SPLIT_MISTAKES.values(), ids=SPLIT_MISTAKES)
def test_mistakes_in_the_splits(tmp_path, changes, message):
    found = error(read_xlsa17, write_folder(tmp_path, splits=splits_mat(**changes)))
    assert found.startswith(f"--data.path = {tmp_path}") and message in found and "att_splits.mat" in found


def test_a_class_without_samples(tmp_path):
    five = {"att": np.ones((3, 5)), "allclasses_names": cells([*NAMES, "eel"])}
    found = error(read_xlsa17, write_folder(tmp_path, splits=splits_mat(**five)))
    assert "'labels' of res101.mat give no image of any split to class 5 (eel)" in found


def test_files_that_are_not_there(tmp_path):
    assert "no such folder; name the folder of res101.mat" in error(read_xlsa17, tmp_path / "absent")
    assert f"{tmp_path / 'res101.mat'}: no such file" in error(read_xlsa17, tmp_path)
    scipy.io.savemat(tmp_path / "res101.mat", images_mat())
    assert f"{tmp_path / 'att_splits.mat'}: no such file" in error(read_xlsa17, tmp_path)
    folder = write_folder(tmp_path)
    assert "sent.mat: no such file" in error(read_xlsa17, folder, ("att", "sent.mat:att"))
    assert "no such file" in error(read_npz, tmp_path / "absent.npz")
    assert "--data.attributes = nothing" in error(read_xlsa17, folder, ())


@pytest.mark.parametrize("content", [b"", b"text, not MATLAB" * 40, None])
def test_damaged_mat(tmp_path, content):
    folder = write_folder(tmp_path, do_compression=True)
    path = folder / "res101.mat"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert f"--data.path = {path}: the MATLAB file can't be read (" in error(read_xlsa17, folder)


def test_a_structure_in_place_of_a_matrix(tmp_path):
    write_hdf5(tmp_path / "res101.mat", images_mat(features=None))
    with h5py.File(tmp_path / "res101.mat", "r+") as file:
        file.create_group("features")
    assert "'features' is not an array of numbers" in error(read_xlsa17, tmp_path)


NPZ_MISTAKES = {
    "features": ({"features": None}, "'features' is missing; write the file anew with np.savez"),
    "labels": ({"labels": None}, "'labels' is missing"),
    "att": ({"att": None}, "'att' is missing"),
    "rows": ({"test_unseen_loc": None}, "'test_unseen_loc' is missing"),
    "objects": ({"features": np.array([{}, None])}, "array features holds Python objects"),
    "text": ({"labels": np.array(["cat"] * 24)}, "'labels' is not an array of numbers"),
    "counted from 1": (
        {"labels": LABELS + 1},
        "'labels' holds class 4, not in 0..3 (counted from 0); count classes from 0",
    ),
    "a row from 1": ({"trainval_loc": TRAINVAL + 22}, "'trainval_loc' holds rows 24,"),
    "vector": ({"att": ATT[0]}, "'att' has shape [3] and should be a matrix"),
    "zeros": ({"att": ATT * (np.arange(4) > 0)[:, None]}, "'att' is all zeros in class 0"),
    "nan": (
        {"features": np.full((24, 5), np.nan)},
        "'features' is NaN or infinite in rows 0, 1, 2 and 21 more",
    ),
}


@pytest.mark.parametrize(("changes", "message"), NPZ_MISTAKES.values(), ids=NPZ_MISTAKES)
def test_mistakes_in_an_npz(tmp_path, changes, message):
    path = write_npz(tmp_path / "wrong.npz", **changes)
    found = error(read_npz, path)
    assert found.startswith(f"--data.path = {path}: ") and message in found


def test_damaged_npz(tmp_path):
    path = write_npz(tmp_path / "cut.npz")
    good = path.read_bytes()
    for content in (b"", b"text", good[:-30]):
        path.write_bytes(content)
        assert f"--data.path = {path}: not a readable npz file (" in error(read_npz, path)
    flipped = bytearray(good)
    flipped[good.index(b"NUMPY") + 200] ^= 4
    path.write_bytes(flipped)
    assert "Bad CRC-32" in error(read_npz, path)
    np.save(tmp_path / "one.npy", FEATURES)
    assert "not a readable npz file" in error(read_npz, tmp_path / "one.npy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features": FEATURES.T},
            "'features' has shape [5, 24] for 24 labels, and features are [N, D]; transpose",
        ),
        ({"att": ATT.T}, "'att' has shape [3, 4] for 4 classes, and attributes are [C, A]; transpose"),
        (
            {"att": ATT.T, "class_names": None},
            "'att' has shape [3, 4] for 4 classes, and attributes are [C, A]",
        ),
        (
            {"labels": LABELS * 2},
            "not in 0..3 (counted from 0); number the 4 classes that occur 0..3, in the order",
        ),
    ],
)
def test_an_npz_that_is_transposed_or_has_gaps(tmp_path, changes, message):
    assert message in error(read_npz, write_npz(tmp_path / "wrong.npz", **changes))


def test_attributes_with_rows_of_classes(tmp_path):
    found = error(read_xlsa17, write_folder(tmp_path, splits=splits_mat(att=ATT)))
    assert "'att' of att_splits.mat has shape [4, 3] for 4 classes, and attributes are [A, C]" in found


NUMBERED = ("class 1", "class 2", "class 3", "class 4")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (np.array(NAMES), NAMES),  # a matrix of characters
        (cells([*NAMES, "eel"]), NUMBERED),
        (np.arange(9.0), NUMBERED),
        (np.array([(b"x", b"MCOS")], [("s0", object), ("s1", object)]), NUMBERED),
    ],
)
def test_names_never_block(tmp_path, names, wanted):
    folder = write_folder(tmp_path, splits=splits_mat(allclasses_names=names))
    assert_is_the_benchmark(read_xlsa17(folder), wanted)


def test_names_in_an_npz_never_block(tmp_path):
    for names in (np.array([{}] * 4), np.array(["only one"])):
        data = read_npz(write_npz(tmp_path / "set.npz", class_names=names))
        assert_is_the_benchmark(data, tuple(f"class {i}" for i in range(4)))


@pytest.mark.parametrize("form", ["string", "char", "numbers in cells"])
def test_hdf5_names_of_each_form(tmp_path, form):
    """MATLAB stores its strings as six numbers that refer elsewhere, and characters as a matrix."""
    write_hdf5(tmp_path / "res101.mat", images_mat())
    write_hdf5(tmp_path / "att_splits.mat", splits_mat(allclasses_names=None))
    with h5py.File(tmp_path / "att_splits.mat", "r+") as file:
        if form == "string":
            names = file.create_dataset("allclasses_names", data=np.array([[0xDD000000, 2, 1, 1]], np.uint32))
        elif form == "char":
            codes = [[ord(c) for c in name.ljust(10)] for name in NAMES]
            names = file.create_dataset("allclasses_names", data=np.array(codes, np.uint16).T)
        else:
            file["#refs#/a"] = np.full((2, 2), -1.5)
            references = np.array([[file["#refs#/a"].ref] * 4], object)
            names = file.create_dataset("allclasses_names", data=references, dtype=h5py.ref_dtype)
        names.attrs["MATLAB_class"] = np.bytes_({"numbers in cells": "cell"}.get(form, form))
    found = read_xlsa17(tmp_path).class_names
    assert found == {"string": NUMBERED, "char": NAMES, "numbers in cells": ("",) * 4}[form]
