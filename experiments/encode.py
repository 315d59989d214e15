"""Encodes images with a trained run: posterior means and log variances, of every seed."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from experiments import cli, runs
from experiments.representation.view import View, open_model
from train.atomic import refuse_input, write_atomically
from train.data.image_files import Encoded, UnreadableError, list_images, read_photo
from train.devices import on_one_device
from train.errors import UserError
from train.npz_files import read_npz
from train.run_outputs import refuse_own
from train.seeds import unstack
from train.stored_state import Which

SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to encode, and where to write it."""

    run_dir: runs.RunPath
    """The run."""
    input: Path
    """A folder of images, one image, or an npz with `images` uint8 [n, 64, 64, 3]."""
    out: Path
    """The npz to write: mean and logvar [seeds, n, latents], seeds, names."""
    checkpoint: Which = "last"
    """The last state, or that of the best validation loss."""


def main(argv: Sequence[str]) -> None:
    """Reads the images, encodes them with every seed, writes the npz."""
    config = runs.parse(Config, "encode", __doc__, argv)
    if not config.out.parent.is_dir():
        raise UserError("--out", config.out, "its folder does not exist", "make the folder first")
    refuse_input(config.out, [config.input])
    refuse_own(config.out, config.run_dir)
    images, names = read_images(config.input)
    model = open_model(config.run_dir, config.checkpoint)
    count = len(model.keys)
    views = [View(model.learner.autoencoder, on_one_device(unstack(model.state, i))) for i in range(count)]
    encoded = [view.encode(images) for view in views]
    file = io.BytesIO()
    np.savez(
        file,
        mean=np.stack([mu for mu, _ in encoded]),
        logvar=np.stack([logvar for _, logvar in encoded]),
        seeds=np.arange(model.first_seed, model.first_seed + count),
        names=np.asarray(names),
    )
    write_atomically(config.out, file.getvalue(), "--out", "give a writable file")
    cli.say(f"encoded {len(images)} images with {count} seed(s): {config.out}")


def read_images(path: Path) -> tuple[UInt8[np.ndarray, "n 64 64 3"], list[str]]:
    """The images of a folder (by name), of one file, or of an npz, brought to 64x64 RGB, and their names.

    Raises:
      UserError: there is nothing to read, or a file is not an image.
    """
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    if path.is_dir():
        files = list_images(path, "--input")
    elif path.is_file():
        files = [path]
    else:
        raise UserError(
            "--input", path, "there is no such file or folder", "give a folder, an image or an npz"
        )
    return np.stack([_read_image(file) for file in files]), [file.name for file in files]


def _read_image(file: Path) -> UInt8[np.ndarray, "64 64 3"]:
    try:
        rgb = read_photo(Encoded(str(file), file))
    except UnreadableError as error:
        problem = f"is not a readable image ({error.reason})"
        raise UserError("--input", file, problem, "remove or mend that file") from error
    if rgb.size != (SIZE, SIZE):
        rgb = rgb.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _read_npz(path: Path) -> tuple[UInt8[np.ndarray, "n 64 64 3"], list[str]]:
    images = read_npz(path, "--input", ["images"], remedy="give an npz with uint8 `images`")["images"]
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3) or len(images) == 0:
        found = f"{images.dtype} {list(images.shape)}"
        raise UserError("--input", path, f"`images` is {found}", f"give uint8 [n, {SIZE}, {SIZE}, 3]")
    return images, [str(i) for i in range(len(images))]


if __name__ == "__main__":
    cli.main(main)
