"""Handwritten digits with their classes: those that scikit-learn ships, or MNIST from a file or from TFDS."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from train import npz_files
from train.data.split import split_indices
from train.errors import UserError
from train.regular_files import why_no_file

Source = Literal["sklearn", "npz", "tfds"]
CLASSES = 10
KEYS = ("x_train", "y_train", "x_test", "y_test")
"""Arrays of a file."""
SHARES = (0.75, 0.0, 0.25)
"""Shares for training and testing of scikit-learn's digits, which come without a split."""
SMALLEST_SIDE = 4


@dataclasses.dataclass(frozen=True)
class Images:
    """Images [n, height, width] of grey or [n, height, width, 3] of colours in [0, 1], and the class of each."""

    image: Float[np.ndarray, "n h w *c"]
    label: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays placed on the device."""
        return {"image": self.image, "label": self.label}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """The images and classes of an index array, inside the compiled program."""
        return jax.tree.map(lambda a: a[index], dict(arrays))


class Digits(NamedTuple):
    """What to learn from and what to be tested on."""

    name: str
    train: Images
    test: Images


def open_digits(source: Source, path: str | pathlib.Path | None = None) -> Digits:
    """Reads digits by the name of their source.

    Args:
      source: `sklearn` has 1,797 digits of 8 x 8 pixels and reads no file; `npz` is a file with `x_train`, `y_train`,
        `x_test`, `y_test`, images uint8 [n, height, width]; `tfds` is the prepared data set `mnist`.
      path: the file; for `tfds` the data folder, or None for the folder TFDS uses by default.

    Raises:
      UserError: the source can't be read, or is not what it should be.
    """
    match source:
        case "sklearn":
            if path is not None:
                remedy = "leave it out, or give --data.source npz or tfds"
                raise UserError("--data.path", path, "the source sklearn reads no file", remedy)
            return _from_sklearn()
        case "npz":
            return _from_npz(path)
        case "tfds":
            return _from_tfds(path)
    raise UserError("--data.source", source, "is unknown", "choose sklearn, npz or tfds")


def _from_sklearn() -> Digits:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.float32) / 16
    parts = split_indices(len(labels), SHARES)
    train, test = (Images(images[part], labels[part].astype(np.int32)) for part in (parts.train, parts.test))
    return Digits("digits", train, test)


def _from_npz(path: str | pathlib.Path | None) -> Digits:
    if path is None:
        raise UserError("--data.path", path, "the source npz reads a file", "name it")
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UserError(
            "--data.path", path, why_no_file(file), "check the spelling, or use --data.source sklearn"
        )
    remedy = f"give an npz with {', '.join(KEYS)}"
    arrays = npz_files.read_npz(file, "--data.path", KEYS, remedy=remedy)
    parts = [[arrays[f"{what}_{part}"] for what in "xy"] for part in ("train", "test")]
    train, test = (_images(path, *part) for part in parts)
    if train.image.shape[1:] != test.image.shape[1:]:
        raise UserError("--data.path", path, "its training and test images differ in size", "save it again")
    return Digits(file.stem, train, test)


def _from_tfds(path: str | pathlib.Path | None) -> Digits:
    import tensorflow_datasets as tfds

    folder = None if path is None else pathlib.Path(path).expanduser()
    try:
        parts = [
            tfds.data_source("mnist", split=s, data_dir=folder, download=False) for s in ("train", "test")
        ]
    except Exception as error:  # TFDS raises a different class for each way in which a folder is not prepared
        raise UserError(
            "--data.source" if path is None else "--data.path",
            "tfds" if path is None else path,
            "holds no prepared mnist with random access",
            "prepare it with tfds.builder('mnist', data_dir=..., file_format='array_record')"
            ".download_and_prepare() and the extra tfds-prepare, or use --data.source sklearn",
        ) from error
    return Digits("mnist", *(_images("tfds", *_examples(part)) for part in parts))


def _examples(part: Any) -> tuple[np.ndarray, np.ndarray]:
    examples = [part[i] for i in range(len(part))]
    return np.stack([e["image"][..., 0] for e in examples]), np.array([e["label"] for e in examples])


def _images(path: object, images: np.ndarray, labels: np.ndarray) -> Images:
    """Bytes as numbers in [0, 1]."""
    shape = list(images.shape)
    if images.dtype != np.uint8 or images.ndim != 3 or not len(images) or min(shape[1:]) < SMALLEST_SIDE:
        found = f"its images are {images.dtype}{shape}"
        remedy = f"give uint8 [n, height, width] of at least {SMALLEST_SIDE} pixels a side"
        raise UserError("--data.path", path, found, remedy)
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        found = f"its {len(images)} images have labels {labels.dtype}{list(labels.shape)}"
        raise UserError("--data.path", path, found, "give one integer for each image")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise UserError("--data.path", path, "has labels that are not digits", "give classes 0 to 9")
    return Images(images.astype(np.float32) / 255, labels.astype(np.int32))
