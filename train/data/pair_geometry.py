"""Resizing, cropping and flipping of a photo together with its label map: the modes of the official SPADE code."""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image

from train.errors import UserError

ResizeMode = Literal[
    "resize_and_crop",
    "scale_width",
    "scale_width_and_crop",
    "scale_shortside",
    "scale_shortside_and_crop",
    "fixed",
    "crop",
    "none",
]
"""`resize_and_crop`: to load x load whatever the aspect, then a random crop x crop. `scale_width`: the width becomes
load, the height follows. `scale_shortside`: the shorter side becomes load. `fixed`: crop wide and crop / aspect ratio
high. `crop`: the crop alone. `none`: each side to the nearest multiple of 32."""

MULTIPLE = 32


class Placement(NamedTuple):
    """What is done to label map, instance map and photo alike: resize, cut out, mirror.

    Attributes:
      width, height: resized to.
      left, top: corner of the part that is cut out.
      final_width, final_height: size of that part.
      flip: whether left and right are exchanged.
    """

    width: int
    height: int
    left: int
    top: int
    final_width: int
    final_height: int
    flip: bool


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How examples get their size.

    Attributes:
      mode: see `ResizeMode`.
      load_size: "load" of the mode.
      crop_size: "crop" of the mode.
      aspect_ratio: width / height of `fixed`.
      flip: whether every second training example is mirrored.
      official_crop_range: as the official code, draw the corner of `scale_shortside_and_crop` in an image whose
        shorter side is taken as not yet resized. Crops then reach beyond a smaller image, which is filled up with
        zeros, a class and black; so by default the corner lies in the resized image.
    """

    mode: ResizeMode
    load_size: int
    crop_size: int
    aspect_ratio: float = 1.0
    flip: bool = True
    official_crop_range: bool = False

    @property
    def crops(self) -> bool:
        """Whether a square is cut out at the end."""
        return self.mode.endswith("crop")

    def for_evaluation(self) -> "Geometry":
        """As the official presets test: load is crop, and nothing is drawn.

        A wide image that would then be too low for `scale_width_and_crop` gets its height from the crop instead.
        """
        mode: ResizeMode = "scale_shortside_and_crop" if self.mode == "scale_width_and_crop" else self.mode
        load = self.crop_size if self.crops else self.load_size
        return dataclasses.replace(self, mode=mode, load_size=load, flip=False, official_crop_range=False)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that an image of this size is resized to, before any crop."""
        load = self.load_size
        match self.mode:
            case "resize_and_crop":
                return load, load
            case "scale_width" | "scale_width_and_crop":
                return load, load * height // width
            case "scale_shortside" | "scale_shortside_and_crop":
                short, long = min(width, height), load * max(width, height) // min(width, height)
                return (load, long) if width == short else (long, load)
            case "fixed":
                return self.crop_size, round(self.crop_size / self.aspect_ratio)
            case "none":
                return _to_multiple(width), _to_multiple(height)
            case "crop":
                return width, height

    def place(self, width: int, height: int, random: np.random.Generator | None) -> Placement:
        """What to do to an example of this size.

        Args:
          width, height: of the files.
          random: draws the corner of the crop and, with probability one half, the flip; None for evaluation,
            whose crop is the middle and which is never mirrored.

        Raises:
          UserError: the resized image is smaller than the crop.
        """
        wide, high = self.resized(width, height)
        if not self.crops:
            return Placement(wide, high, 0, 0, wide, high, self._draw_flip(random))
        crop = self.crop_size
        if min(wide, high) < crop:
            problem = f"an image of {width} x {height} becomes {wide} x {high}, smaller than the crop"
            raise UserError(
                "--data.crop-size", crop, problem, "give a smaller one, or another --data.resize-mode"
            )
        if random is None:
            return Placement(wide, high, (wide - crop) // 2, (high - crop) // 2, crop, crop, False)
        ranges = self._crop_range(width, height)
        left, top = (int(random.integers(0, max(0, side - crop) + 1)) for side in ranges)
        return Placement(wide, high, left, top, crop, crop, self._draw_flip(random))

    def _crop_range(self, width: int, height: int) -> tuple[int, int]:
        """The width and height of the image that corners are drawn in."""
        wide, high = self.resized(width, height)
        if self.official_crop_range and self.mode == "scale_shortside_and_crop":
            return (width, high) if width <= height else (wide, height)
        return wide, high

    def _draw_flip(self, random: np.random.Generator | None) -> bool:
        return self.flip and random is not None and bool(random.random() < 0.5)


def _to_multiple(side: int) -> int:
    return round(side / MULTIPLE) * MULTIPLE


def place_map(array: Int[np.ndarray, "h w"], placement: Placement) -> Int[np.ndarray, "H W"]:
    """A label or instance map, resized to the nearest neighbour: no value is ever mixed."""
    return _cut(resize_nearest(array, placement.width, placement.height), placement)


def place_photo(photo: Image.Image, placement: Placement) -> UInt8[np.ndarray, "H W 3"]:
    """An RGB photo, resized by Pillow's bicubic filter."""
    size = placement.width, placement.height
    if photo.size != size:
        photo = photo.resize(size, Image.Resampling.BICUBIC)
    return _cut(np.asarray(photo), placement)


def resize_nearest(array: Shaped[np.ndarray, "h w"], width: int, height: int) -> Shaped[np.ndarray, "H W"]:
    """Every new pixel takes the value below its centre, as in Pillow, whose bicubic filter places a photo alike.

    (The layers of SPADE take the value below the pixel's corner instead: floor(i size / new_size).)
    """
    rows, columns = nearest_index(array.shape[0], height), nearest_index(array.shape[1], width)
    return array[rows[:, None], columns[None, :]]


def nearest_index(size: int, new_size: int) -> Int[np.ndarray, " new_size"]:
    """floor((i + 1 / 2) size / new_size) for every new pixel i, in whole numbers."""
    return (2 * np.arange(new_size) + 1) * size // (2 * new_size)


def _cut(array: np.ndarray, placement: Placement) -> np.ndarray:
    bottom, right = placement.top + placement.final_height, placement.left + placement.final_width
    part = array[placement.top : bottom, placement.left : right]
    beyond = [(0, placement.final_height - part.shape[0]), (0, placement.final_width - part.shape[1])]
    if any(after for _, after in beyond):
        part = np.pad(part, [*beyond, *[(0, 0)] * (part.ndim - 2)])
    return np.ascontiguousarray(part[:, ::-1] if placement.flip else part)
