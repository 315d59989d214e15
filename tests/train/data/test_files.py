import pathlib
import types

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from train.data import cache, files, shapes3d
from train.data.files import open_shapes3d
from train.data.source import ProceduralShapes3D
from train.errors import UserError

COUNT = 120
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 64, 64, 3), np.uint8)
FACTORS = shapes3d.index_to_factors(np.arange(COUNT))
VALUES = (
    *(np.linspace(0, 0.9, 10),) * 3,
    np.linspace(0.75, 1.25, 8),
    np.arange(4.0),
    np.linspace(-30, 30, 15),
)
LABELS = np.stack([values[FACTORS[:, i]] for i, values in enumerate(VALUES)], -1)


@pytest.fixture(params=["memory", "mapped"])
def storage(request, monkeypatch):
    if request.param == "mapped":
        monkeypatch.setattr(cache, "IN_MEMORY_BYTES", 0)
        monkeypatch.setattr(files, "ROWS_PER_BLOCK", 32)


def write_h5(path: pathlib.Path, images=IMAGES, labels=LABELS) -> pathlib.Path:
    with h5py.File(path, "w") as file:
        file["images"], file["labels"] = images, labels
    return path


def write_npz(path: pathlib.Path, compress=False, **arrays) -> pathlib.Path:
    (np.savez_compressed if compress else np.savez)(path, **arrays)
    return path


def open_error(source, path, tmp_path, **options) -> str:
    """The message of the one error that opening raises, after checking that no cache is left."""
    with pytest.raises(UserError) as caught:
        open_shapes3d(source, path, tmp_path / "cache", **options)
    assert not list((tmp_path / "cache").glob("*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_procedural(tmp_path):
    assert isinstance(open_shapes3d("procedural"), ProceduralShapes3D)
    assert "--data.path = x.npz: the procedural source reads no file" in open_error(
        "procedural", "x.npz", tmp_path
    )
    assert "--data.source = h6" in open_error("h6", None, tmp_path)


@pytest.mark.usefixtures("storage")
def test_h5(tmp_path):
    path = write_h5(tmp_path / "3dshapes.h5")
    source = open_shapes3d("h5", path, tmp_path / "cache", count=COUNT)
    assert (source.name, len(source)) == ("shapes3d", COUNT)
    assert (source.factor_names, source.factor_sizes) == (shapes3d.FACTOR_NAMES, shapes3d.FACTOR_SIZES)
    batch = source[np.array([119, 0, 60])]
    np.testing.assert_array_equal(batch["image"], IMAGES[[119, 0, 60]])
    np.testing.assert_array_equal(batch["factors"], FACTORS[[119, 0, 60]])


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("compress", [False, True])
def test_npz(tmp_path, compress):
    path = write_npz(tmp_path / "mine.npz", compress, images=IMAGES, factors=FACTORS.astype(np.uint8))
    source = open_shapes3d("npz", path, tmp_path / "cache")
    assert (source.name, len(source), source.factor_sizes) == ("mine", COUNT, (1, 1, 1, 2, 4, 15))
    assert len(source.factor_names) == 6
    np.testing.assert_array_equal(source.arrays["image"], IMAGES)
    np.testing.assert_array_equal(source.arrays["factors"], FACTORS)
    np.testing.assert_array_equal(source.index_with_factors(FACTORS[::-1]), np.arange(COUNT)[::-1])


@pytest.mark.usefixtures("storage")
def test_npz_without_factors(tmp_path):
    source = open_shapes3d("npz", write_npz(tmp_path / "bare.npz", images=IMAGES), tmp_path / "cache")
    assert set(source.spec) == {"image"} and source.factor_names == source.factor_sizes == ()


@pytest.mark.parametrize("source", ["h5", "npz"])
def test_paths_that_name_no_file(tmp_path, source):
    assert f"--data.path = None: the source {source} reads a file" in open_error(source, None, tmp_path)
    assert "no such file" in open_error(source, tmp_path / "absent", tmp_path)
    assert "is a folder" in open_error(source, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "problem"),
    [
        (IMAGES[:, :32], LABELS, "'images' is uint8[120, 32, 64, 3], not uint8[120, 64, 64, 3]"),
        (IMAGES[:60], LABELS[:60], "'images' is uint8[60, 64, 64, 3]"),
        (IMAGES[:0], LABELS[:0], "'images' is uint8[0, 64, 64, 3]"),
        (IMAGES.astype(np.float32), LABELS, "'images' is float32"),
        (IMAGES, LABELS[:, :5], "'labels' is float64[120, 5], not float64[120, 6]"),
        (IMAGES, LABELS[::-1], "not the factors of 3D Shapes in their order"),
    ],
)
def test_h5_of_another_kind(tmp_path, images, labels, problem):
    path = write_h5(tmp_path / "wrong.h5", images, labels)
    message = open_error("h5", path, tmp_path, count=COUNT)
    assert message.startswith(f"--data.path = {path}: ") and problem in message and "3dshapes.h5" in message


def test_h5_without_datasets(tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_group("images")
    assert "has no dataset 'images'" in open_error("h5", tmp_path / "empty.h5", tmp_path)


@pytest.mark.parametrize("source", ["h5", "npz"])
@pytest.mark.parametrize("kept", [0, 10, 5000, -5])
def test_truncated_files(tmp_path, source, kept):
    good = tmp_path / f"good.{source}"
    write_h5(good) if source == "h5" else write_npz(good, images=IMAGES)
    path = tmp_path / f"cut.{source}"
    path.write_bytes(good.read_bytes()[:kept])
    assert f"--data.path = {path}: not a readable" in open_error(source, path, tmp_path, count=COUNT)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("compress", [False, True])
def test_npz_with_a_flipped_bit(tmp_path, compress):
    path = write_npz(tmp_path / "flipped.npz", compress, images=IMAGES)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert "not a readable npz file" in open_error("npz", path, tmp_path)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": IMAGES}, "has no array 'images' (it holds x)"),
        ({"images": IMAGES[:0]}, "holds no image"),
        ({"images": IMAGES / 255}, "'images' is float64[120, 64, 64, 3], not uint8[N, 64, 64, 3]"),
        ({"images": IMAGES[..., 0]}, "'images' is uint8[120, 64, 64], not"),
        ({"images": IMAGES[:, :32, :32]}, "'images' is uint8[120, 32, 32, 3], not"),
        ({"images": np.asfortranarray(IMAGES)}, "in Fortran order"),
        ({"images": np.array([{}, {}])}, "array images holds Python objects"),
        ({"images": IMAGES, "factors": FACTORS[:5]}, "'factors' is int32[5, 6], not integers [120, F]"),
        ({"images": IMAGES, "factors": FACTORS + 2**16}, "with numbers out of range"),
        ({"images": IMAGES, "factors": FACTORS[:, 0]}, "'factors' is int32[120], not"),
        ({"images": IMAGES, "factors": FACTORS[:, :0]}, "'factors' is int32[120, 0], not"),
        ({"images": IMAGES, "factors": LABELS}, "'factors' is float64[120, 6], not"),
        ({"images": IMAGES, "factors": FACTORS - 1}, "with numbers out of range"),
        ({"images": IMAGES, "factors": FACTORS.astype(object)}, "array factors holds Python objects"),
    ],
)
def test_npz_of_another_kind(tmp_path, arrays, problem):
    message = open_error("npz", write_npz(tmp_path / "wrong.npz", **arrays), tmp_path)
    assert "--data.path" in message and problem in message


def test_npz_that_is_a_single_array(tmp_path):
    np.save(tmp_path / "one.npy", IMAGES)
    assert "not a readable npz file" in open_error("npz", tmp_path / "one.npy", tmp_path)


@pytest.mark.usefixtures("storage")
def test_tfds(tmp_path):
    with tfds.testing.mock_data(num_examples=9):
        source = open_shapes3d("tfds", tmp_path, tmp_path / "cache")
    assert (source.name, len(source), source.factor_sizes) == ("shapes3d", 9, shapes3d.FACTOR_SIZES)
    assert {k: (v.shape, v.dtype.name) for k, v in source.spec.items()} == {
        "image": ((64, 64, 3), "uint8"),
        "factors": ((6,), "int32"),
    }
    assert (source.arrays["factors"] < shapes3d.FACTOR_SIZES).all() and np.ptp(source.arrays["image"]) > 0


class Prepared(list):
    """A data source as TFDS returns it, of a few examples."""

    def __init__(self, folder, order):
        names = [f"label_{name}" for name in shapes3d.FACTOR_NAMES]
        super().__init__(
            {"image": IMAGES[i], **dict(zip(names, FACTORS[i].tolist(), strict=True))} for i in order
        )
        self.dataset_info = types.SimpleNamespace(data_dir=str(folder))


@pytest.mark.usefixtures("storage")
def test_tfds_complete_set_is_put_in_order(tmp_path, monkeypatch):
    (tmp_path / "prepared").mkdir()
    data = Prepared(tmp_path / "prepared", np.random.default_rng(1).permutation(COUNT))
    monkeypatch.setattr(tfds, "data_source", lambda *_, **__: data)
    source = open_shapes3d("tfds", tmp_path, tmp_path / "cache", count=COUNT)
    np.testing.assert_array_equal(source.arrays["factors"], FACTORS)
    np.testing.assert_array_equal(source.arrays["image"], IMAGES)


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize(
    ("order", "problem"), [([], "no example"), ([0, 1, 1], "twice"), ([0, 1, 9], "out of range")]
)
def test_tfds_of_another_kind(tmp_path, monkeypatch, order, problem):
    (tmp_path / "prepared").mkdir()
    monkeypatch.setattr(tfds, "data_source", lambda *_, **__: Prepared(tmp_path / "prepared", order))
    message = open_error("tfds", tmp_path, tmp_path, count=len(order))
    assert message.startswith("--data.source = tfds") and problem in message


def test_tfds_not_prepared(tmp_path):
    message = open_error("tfds", tmp_path / "absent", tmp_path)
    assert message.startswith(f"--data.path = {tmp_path / 'absent'}: no prepared shapes3d")
    assert "download_and_prepare" in message
