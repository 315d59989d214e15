"""The one opener of image files: photos as RGB bytes, maps as the integers they hold, and the images of a folder.

Whatever Pillow raises for a file that is damaged, or is not an image, is one `UnreadableError` that names the file.
"""

import logging
import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int
from PIL import ExifTags, Image, ImageOps

from train.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp", ".gif")
"""Of image files, in any case; all others in a folder are passed over."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "PPM", "WEBP", "GIF")
"""What those suffixes stand for; Pillow's other readers, one of which runs a program, are not asked."""
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_INDEX_MODES = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")
"""Pillow's names of one-channel images; of a palette image (P) the index is the class, whatever its colour."""
_LARGEST = {"L": 255, "I": 65535, "I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I;16N": 65535}
_BITS = {"L;2": 3, "L;4": 15, "I;12": 4095, "I;12B": 4095}
"""The largest value of formats of few bits, which Pillow spreads over 8 (of L) or leaves as they are (of I)."""
_BAD_EXIF = (SyntaxError, ValueError, TypeError, KeyError, EOFError, OSError, UserWarning, struct.error)
_LOG = logging.getLogger(__name__)
_Read = TypeVar("_Read")
# A photo beyond Pillow's limit of pixels is an unreadable file, not a warning in the middle of training.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Encoded(NamedTuple):
    """An image file, or its bytes.

    Attributes:
      name: what to call it in messages.
      content: where it is, or what it holds.
    """

    name: str
    content: Path | bytes


class UnreadableError(Exception):
    """A file that is damaged, is not an image, or holds numbers that have no meaning as bytes."""

    def __init__(self, file: Encoded, reason: Exception):
        text = getattr(reason, "strerror", None) or str(reason)
        if not isinstance(file.content, bytes):
            text = text.replace(str(file.content), "")
        text = " ".join(text.split()) or type(reason).__name__
        self.name, self.reason = file.name, text[:120]
        super().__init__(f"{self.name}: {self.reason}")


def read_photo(file: Encoded) -> Image.Image:
    """The RGB image of a file, upright as its EXIF orientation says.

    Numbers of 16 bits are scaled to 8 by the range of their format; numbers of 32 bits and floats, whose range no
    format says, are refused. What is transparent is laid on white.

    Raises:
      UnreadableError: it is damaged, is not an image, or holds numbers without a known range.
    """
    return _decode(file, _to_rgb)


def read_indices(file: Encoded, flag: str) -> Int[np.ndarray, "h w"]:
    """The integers of a one-channel or palette image of 1 to 16 bits, or 32, as they are stored.

    Args:
      file: of a label or instance map.
      flag: what the user named it by, for messages.

    Raises:
      UnreadableError: it is damaged, or is not an image.
      UserError: it has colours instead of indices, or was compressed with losses.
    """
    found = _decode(file, _to_indices)
    if isinstance(found, str):
        raise UserError(flag, file.name, found, "save a one-channel or palette PNG of 8 or 16 bits")
    return found


def header_size(file: Encoded) -> tuple[int, int]:
    """Width and height as the header of a file tells them, upright where it tells its orientation too.

    Raises:
      UnreadableError: it is damaged, or is not an image.
    """
    return _decode(file, _header_size)


def list_images(folder: Path, flag: str, below: bool = False) -> list[Path]:
    """The image files of a folder, by name; how many other entries there are is said.

    Files and folders whose names begin with a dot are not data: file systems and tools leave them there.

    Args:
      folder: where.
      flag: what the user named it by, for messages.
      below: whether the folders in it count, too.

    Raises:
      UserError: there is no such folder, it can't be read, or it holds no image.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "no such folder"
        raise UserError(flag, folder, problem, "name a folder of images")
    try:
        entries = sorted(folder.rglob("*") if below else folder.iterdir())
        files = [path for path in entries if _is_image(path, folder)]
        known = set(files)
        passed_over = [path for path in entries if path not in known and not (below and path.is_dir())]
    except OSError as error:
        raise UserError(
            flag, folder, f"can't be read ({error.strerror})", "name a readable folder"
        ) from error
    if not files:
        raise UserError(flag, folder, "holds no image", f"name a folder of {', '.join(SUFFIXES)} files")
    if passed_over:
        more = f" and {len(passed_over) - 1} more" if len(passed_over) > 1 else ""
        _LOG.warning("%s %s: passed over, not image files: %s%s", flag, folder, passed_over[0].name, more)
    return files


def _is_image(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in SUFFIXES and path.is_file()


def _decode(file: Encoded, prepare: Callable[[Image.Image], _Read]) -> _Read:
    content = BytesIO(file.content) if isinstance(file.content, bytes) else file.content
    try:
        with Image.open(content, formats=_FORMATS) as image:
            return prepare(image)
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and a dozen others
        raise UnreadableError(file, error) from error


def _header_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Of a PNG Pillow would read all to look for EXIF behind the pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return width, height
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except _BAD_EXIF:
        turned = False
    return (height, width) if turned else (width, height)


def _upright(image: Image.Image) -> Image.Image:
    """As its EXIF orientation says; EXIF that is damaged says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except _BAD_EXIF:
        return image.copy()


def _to_rgb(image: Image.Image) -> Image.Image:
    largest = _stored_largest(image)
    image.load()
    image = _upright(image)
    if image.mode.startswith(("I", "F")):
        if largest is None or image.mode == "F":
            kind = "floats" if image.mode == "F" else "integers of 32 bits"
            raise ValueError(f"it holds {kind}, whose range no format says: save it with 8 or 16 bits")
        scaled = np.asarray(image).astype(np.float64) * (255 / largest)
        return Image.fromarray(np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("La", "RGBa"):  # with colours that are already multiplied
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_indices(image: Image.Image) -> Int[np.ndarray, "h w"] | str:
    """The integers, or why there are none."""
    if lossy := _lossy(image):
        return f"is stored as {lossy}, which alters the integers of a map"
    if image.mode not in _INDEX_MODES:
        return f"is a colour image ({image.mode}), not a map of integers"
    raw, largest = _raw(image), _stored_largest(image)
    if raw.startswith(("L;", "1;")) and raw.endswith("I"):
        return "stores its integers inverted, white as 0"
    image.load()
    values = np.asarray(_upright(image)).astype(np.int32)
    spread = _LARGEST.get(image.mode)
    if (raw in _BITS and image.mode != "L") or not largest or not spread or largest == spread:
        return values
    return np.rint(values * (largest / spread)).astype(np.int32)


def _tile(image: Image.Image) -> object:
    """Arguments of the decoder, which are known before pixels are decoded."""
    tiles = getattr(image, "tile", None)
    return tiles[0].args if tiles else None


def _raw(image: Image.Image) -> str:
    """Pillow's name of how the file stores pixels, which is known before they are decoded."""
    arguments = _tile(image)
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _stored_largest(image: Image.Image) -> int | None:
    """The largest value that the file's format could hold; None where it says none."""
    raw, arguments = _raw(image), _tile(image)
    if image.format == "PPM" and isinstance(arguments, tuple) and len(arguments) > 1:
        return int(arguments[1])  # "maxval" of its header, spread by Pillow over 8 or 16 bits
    if raw in _BITS:
        return _BITS[raw]
    if image.mode == "I" and image.format not in ("PPM", "PNG"):
        return None
    return _LARGEST.get(image.mode)


def _lossy(image: Image.Image) -> str:
    """What alters pixels in the format of this file; nothing where it keeps them."""
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "TIFF" and image.info.get("compression") in _LOSSY_TIFF:
        return f"TIFF with {image.info['compression']} compression"
    return "WebP" if image.format == "WEBP" else ""
