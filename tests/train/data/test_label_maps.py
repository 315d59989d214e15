"""Decoding of indices and photos, unknown pixels; each mistake by name."""

import io

import numpy as np
import pytest
from PIL import Image

from train.data.label_maps import (
    ClassTable,
    Encoded,
    UnreadableError,
    minus_one,
    read_indices,
    read_photo,
)
from train.errors import UserError

VALUES = np.array([[0, 1], [2, 255]])


def encoded(image: Image.Image, kind: str = "PNG") -> Encoded:
    stream = io.BytesIO()
    image.save(stream, kind)
    return Encoded("x.png", stream.getvalue())


def indices(image: Image.Image, kind: str = "PNG") -> np.ndarray:
    return read_indices(encoded(image, kind), "--data.labels")


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint8, "PNG"), (np.uint16, "PNG"), (np.int32, "TIFF")])
def test_bits(dtype, kind):
    values = np.minimum(np.array([[0, 1, 255], [256, 40_000, 70_000]]), np.iinfo(dtype).max).astype(dtype)
    found = indices(Image.fromarray(values), kind)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, values)


def test_a_palette_image_is_its_indices_and_one_bit_is_0_and_1():
    palette = Image.fromarray(VALUES.astype(np.uint8), "L").convert("L")
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert palette.mode == "P"
    np.testing.assert_array_equal(indices(palette), VALUES)
    np.testing.assert_array_equal(indices(Image.fromarray(VALUES > 1)), VALUES > 1)


def test_photos_become_rgb(tmp_path):
    for mode in ("L", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (3, 2)).save(path)
        photo = read_photo(Encoded(str(path), path))
        assert photo.mode == "RGB" and photo.size == (3, 2)


def test_colours_are_no_classes():
    with pytest.raises(UserError, match=r"--data.labels = x.png: .*colour image \(RGB\).*palette"):
        indices(Image.new("RGB", (2, 2)))


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "missing"])
def test_what_cannot_be_read(tmp_path, damage):
    path = tmp_path / "x.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    content = {"cut": path.read_bytes()[:2000], "text": b"no image", "empty": b""}.get(damage)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UnreadableError, match=r"x.jpg: ."):
        read_photo(Encoded("x.jpg", path))


def test_unknown_pixels():
    table = ClassTable.make(3, dont_care=True)
    np.testing.assert_array_equal(table.to_classes(VALUES, "x"), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(table.to_classes(np.array([[3]]), "x"), [[3]])
    assert table.to_classes(VALUES, "x").dtype == np.int32
    many = ClassTable.make(300, dont_care=True)
    np.testing.assert_array_equal(many.to_classes(np.array([[255, 299, 300]]), "x"), [[255, 299, 300]])


@pytest.mark.parametrize("value", [3, 200, -1, 70_000])
def test_a_value_that_is_no_class(value):
    with pytest.raises(
        UserError, match=rf"= {value}: a.png holds the value {value}, .*3 classes; .*--data.remap"
    ):
        ClassTable.make(3, dont_care=False).to_classes(np.array([[0, value]]), "a.png")


def test_255_without_unknown():
    with pytest.raises(UserError, match=r"255 means unknown: give --data.dont-care True"):
        ClassTable.make(3, dont_care=False).to_classes(VALUES, "a.png")


def test_ade20k_counts_from_one():
    table = ClassTable.make(150, True, minus_one(150))
    np.testing.assert_array_equal(table.to_classes(np.array([[0, 1, 150, 255]]), "x"), [[150, 0, 149, 150]])
    with pytest.raises(UserError, match="151"):
        table.to_classes(np.array([[151]]), "x")
