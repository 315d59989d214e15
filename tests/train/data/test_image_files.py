"""Photos and maps of every mode and format, damaged files, and the images of a folder; each mistake by name."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from train.data.image_files import Encoded, UnreadableError, list_images, read_indices, read_photo
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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, depth=8, kind=0, size=(4, 1)):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *chunks, chunk(b"IEND", b"")])


def row(content):
    return chunk(b"IDAT", zlib.compress(b"\0" + content))


WHOLE = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8))).content
DAMAGED = {
    "a header of two bytes": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0") + chunk(b"IEND", b""),
    "a note of 80 MB": png(chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(80_000_000), 9)), row(bytes(4))),
    "more pixels than memory": png(row(bytes(4)), size=(2**31 - 1, 2**31 - 1)),
    "many pixels": png(row(bytes(4)), size=(10_000, 10_000)),
    "no pixels": png(size=(4, 1)),
    "of size 0": png(row(b""), size=(0, 0)),
    "a wrong checksum": WHOLE[:45] + bytes([WHOLE[45] ^ 1]) + WHOLE[46:],
    "pixels that are no zlib": png(chunk(b"IDAT", b"no zlib")),
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "a tiff of nothing": b"II*\0\x08\0\0\0\xff\xff",
    "a tiff without end": b"II*\0\x08\0\0\0\0\0",
    "a bmp that is cut": b"BM" + bytes(30),
    "a ppm without numbers": b"P6 a b c",
    "a gif that is cut": b"GIF89a\x09\0\x09\0\xf7",
    "a webp that is none": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(20),
    "a jpeg that is cut": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "nothing": b"",
    **{f"cut at {n}": WHOLE[:n] for n in (8, 20, 33, 40, 60, len(WHOLE) // 2)},
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_every_damage_is_one_error_that_names_the_file(content):
    for read in (read_photo, lambda file: read_indices(file, "--data.labels")):
        with pytest.raises(UnreadableError, match=r"^x\.png: .") as caught:
            read(Encoded("x.png", content))
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("place", range(8, 150, 3))
def test_a_changed_byte_is_read_or_named(place):
    content = bytearray(WHOLE)
    content[place] ^= 0x55
    try:
        assert read_photo(Encoded("x.png", bytes(content))).mode == "RGB"
    except UnreadableError as error:
        assert error.name == "x.png"


def photo(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return np.asarray(read_photo(Encoded("x", stream.getvalue())))


def test_one_picture_of_8_and_of_16_bits_is_the_same():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wanted = np.repeat(ramp[..., None], 3, -1)
    for array, kind in (
        (ramp, "PNG"),
        (ramp.astype(np.uint16) * 257, "PNG"),
        (ramp.astype(np.uint16) * 257, "TIFF"),
    ):
        np.testing.assert_array_equal(photo(Image.fromarray(array), kind), wanted)
    deep = b"P5 16 16 65535\n" + (ramp.astype(">u2") * 257).tobytes()
    np.testing.assert_array_equal(np.asarray(read_photo(Encoded("x", deep))), wanted)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_range_are_no_photo(dtype):
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), 7, dtype)).save(stream, "TIFF")
    with pytest.raises(UnreadableError, match="whose range no format says: save it with 8 or 16 bits"):
        read_photo(Encoded("x", stream.getvalue()))


def test_what_is_transparent_is_white():
    red = (200, 0, 0)
    half = Image.new("RGBA", (2, 1), (*red, 255))
    half.putpixel((1, 0), (*red, 0))
    np.testing.assert_array_equal(photo(half), [[red, (255,) * 3]])
    np.testing.assert_array_equal(photo(Image.new("LA", (1, 1), (9, 0))), [[(255,) * 3]])
    np.testing.assert_array_equal(photo(Image.new("RGB", (1, 1), red), transparency=red), [[(255,) * 3]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([*red, 1, 2, 3])
    palette.putpixel((1, 0), 1)
    np.testing.assert_array_equal(photo(palette, transparency=b"\xff\0"), [[red, (255,) * 3]])
    np.testing.assert_array_equal(photo(palette), [[red, (1, 2, 3)]])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(orientation, kind):
    upright = np.repeat(np.repeat(np.array([[0, 85], [170, 255]], np.uint8), 16, 0), 32, 1)
    upright = np.repeat(upright[..., None], 3, -1)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = photo(Image.fromarray(np.ascontiguousarray(turned)), kind, exif=exif)
    assert found.shape == upright.shape
    np.testing.assert_allclose(found.astype(int), upright, atol=30)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_turns_nothing():
    stream = io.BytesIO()
    Image.new("RGB", (4, 2)).save(stream, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_photo(Encoded("x", stream.getvalue())).size == (4, 2)


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("JPEG", {}, "stored as JPEG"),
        ("TIFF", {"compression": "jpeg"}, "stored as TIFF with jpeg compression"),
        ("WEBP", {}, "stored as WebP"),
    ],
)
def test_maps_stored_with_losses_are_refused(kind, options, problem):
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, kind, **options)
    with pytest.raises(UserError, match=rf"--data.labels = x.png: is {problem}, which alters"):
        read_indices(Encoded("x.png", stream.getvalue()), "--data.labels")


STORED = {
    "png of 1 bit": png(row(b"\x50"), depth=1),
    "png of 2 bits": png(row(b"\x1b"), depth=2),
    "png of 4 bits": png(row(b"\x01\x23"), depth=4),
    "png of 8 bits": png(row(b"\0\1\2\3")),
    "png of 16 bits": png(row(b"\0\0\0\1\0\2\0\3"), depth=16),
    "pgm to 3": b"P5 4 1 3\n\0\1\2\3",
    "pgm to 20": b"P2 4 1 20\n0 1 2 3\n",
    "pgm to 255": b"P5 4 1 255\n\0\1\2\3",
    "pgm to 1000": b"P5 4 1 1000\n\0\0\0\1\0\2\0\3",
    "pgm to 65535": b"P5 4 1 65535\n\0\0\0\1\0\2\0\3",
}


@pytest.mark.parametrize(("content", "name"), [(v, k) for k, v in STORED.items()], ids=STORED)
def test_maps_are_the_integers_that_are_stored(content, name):
    """Pillow spreads formats of few values over all of 8 or 16 bits."""
    wanted = [[0, 1, 0, 1]] if name == "png of 1 bit" else [[0, 1, 2, 3]]
    assert read_indices(Encoded("x", content), "--data.labels").tolist() == wanted


def test_images_of_a_folder(tmp_path, caplog):
    for name in ("b.PNG", "a.jpeg", "c.Tif"):
        (tmp_path / name).write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in list_images(tmp_path, "--input")] == ["a.jpeg", "b.PNG", "c.Tif"]
    assert not caplog.messages
    for name in ("._b.PNG", ".hidden.png", "movie.mpg", "Thumbs.db", "notes"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "x.png").mkdir()
    (tmp_path / "x.png/inner.png").write_bytes(b"x")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash/old.png").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert [path.name for path in list_images(tmp_path, "--input")] == ["a.jpeg", "b.PNG", "c.Tif"]
    assert len(caplog.messages) == 1 and "._b.PNG and 7 more" in caplog.text
    assert [path.name for path in list_images(tmp_path, "--input", below=True)][-1] == "inner.png"


def test_folders_without_images(tmp_path):
    (tmp_path / "._a.png").write_bytes(b"x")
    for folder, problem in ((tmp_path, "holds no image"), (tmp_path / "none", "no such folder")):
        with pytest.raises(UserError, match=f"^--input = .*: {problem}"):
            list_images(folder, "--input")


@pytest.mark.parametrize("compression", ["raw", "group4"])
def test_maps_of_one_bit_with_white_as_0_are_refused(tmp_path, compression):
    bits = np.arange(64).reshape(8, 8) % 2
    image = Image.fromarray(bits.astype(bool))
    image.save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 1})
    np.testing.assert_array_equal(read_indices(Encoded("a.tif", tmp_path / "a.tif"), "--data.labels"), bits)
    image.save(tmp_path / "b.tif", compression=compression, tiffinfo={262: 0})
    with pytest.raises(UserError, match="inverted"):
        read_indices(Encoded("b.tif", tmp_path / "b.tif"), "--data.labels")
