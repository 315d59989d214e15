"""Digits from scikit-learn, npz and TFDS; every mistake is one clear error."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from train.data.digits import open_digits
from train.errors import UserError

RNG = np.random.default_rng(0)
ARRAYS = {
    "x_train": RNG.integers(0, 256, (6, 5, 4), np.uint8),
    "y_train": np.array([0, 1, 2, 3, 4, 9]),
    "x_test": RNG.integers(0, 256, (3, 5, 4), np.uint8),
    "y_test": np.array([5, 6, 7], np.uint8),
}


def written(folder, **changes):
    kept = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(folder / "set.npz", **kept)
    return folder / "set.npz"


def test_digits_of_scikit_learn_are_split_once():
    digits = open_digits("sklearn")
    assert digits.name == "digits" and (len(digits.train), len(digits.test)) == (1348, 449)
    assert digits.train.image.shape == (1348, 8, 8) and digits.train.image.dtype == np.float32
    assert digits.train.image.min() == 0 and digits.train.image.max() == 1
    assert set(digits.test.label) == set(range(10))
    rows = {image.tobytes() for image in digits.train.image} & {i.tobytes() for i in digits.test.image}
    assert not rows
    again = open_digits("sklearn")
    np.testing.assert_array_equal(again.test.image, digits.test.image)


def test_npz(tmp_path):
    digits = open_digits("npz", written(tmp_path))
    assert digits.name == "set"
    np.testing.assert_allclose(digits.train.image, ARRAYS["x_train"] / 255, rtol=1e-6)
    np.testing.assert_array_equal(digits.test.label, [5, 6, 7])
    taken = digits.train.take(digits.train.arrays, np.array([5, 0]))
    np.testing.assert_array_equal(taken["label"], [9, 0])
    np.testing.assert_array_equal(taken["image"], digits.train.image[[5, 0]])


def test_mnist(shared):
    digits = open_digits("npz", shared / "data" / "vision" / "mnist.npz")
    assert digits.train.image.shape == (60_000, 28, 28) and len(digits.test) == 10_000


def test_tfds(monkeypatch):
    examples = {
        part: [
            {"image": image[..., None], "label": int(label)}
            for image, label in zip(ARRAYS[f"x_{part}"], ARRAYS[f"y_{part}"], strict=True)
        ]
        for part in ("train", "test")
    }
    monkeypatch.setattr(tfds, "data_source", lambda name, split, **_: examples[split])
    digits = open_digits("tfds")
    assert digits.name == "mnist"
    np.testing.assert_allclose(digits.test.image, ARRAYS["x_test"] / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x_test": None}, "x_test"),
        ({"x_train": ARRAYS["x_train"].astype(np.float32)}, "float32"),
        ({"x_train": ARRAYS["x_train"][:, :3]}, "at least 4 pixels"),
        ({"x_test": ARRAYS["x_test"][:, :4]}, "differ in size"),
        ({"y_train": ARRAYS["y_train"][:5]}, "one integer for each"),
        ({"y_test": np.array([5, 6, 10])}, "not digits"),
        ({"y_test": np.array([5.0, 6.0, 7.0])}, "float64"),
    ],
)
def test_a_damaged_file_is_one_clear_error(changes, expected, tmp_path):
    with pytest.raises(UserError, match=expected) as caught:
        open_digits("npz", written(tmp_path, **changes))
    assert caught.value.field == "--data.path"


def test_wrong_sources(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    for source, path, expected in (
        ("sklearn", "x.npz", "reads no file"),
        ("npz", None, "reads a file"),
        ("npz", tmp_path / "none.npz", "no such file"),
        ("npz", tmp_path / "bad.npz", "not a readable npz"),
        ("tfds", tmp_path, "prepare it with"),
        ("idx", None, "--data.source"),
    ):
        with pytest.raises(UserError, match=expected):
            open_digits(source, path)
