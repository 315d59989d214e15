"""Draws images from the prior of a trained run, as PNG files and one sheet, of every seed or of one."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image

from experiments import cli, runs
from experiments.representation.view import View, open_model
from train.atomic import write_atomically
from train.bounds import Within
from train.devices import on_one_device
from train.errors import UserError
from train.report.figures import image_grid
from train.run_outputs import refuse_own
from train.seeds import unstack
from train.stored_state import Which


@dataclass(frozen=True, kw_only=True)
class Config:
    """How many images to draw, and where to write them."""

    run_dir: runs.RunPath
    """The run."""
    n: Annotated[int, Within(1, 100_000)] = 64
    """Images per seed."""
    out: Path
    """The folder to write: seed<k>/0000.png ..., seed<k>.png with all of them, seed<k>.npz with images and codes."""
    seed: int | None = None
    """Only this seed of the run."""
    noise_seed: int = 0
    """Seed of the draw."""
    checkpoint: Which = "last"
    """The last state, or that of the best validation loss."""


def main(argv: Sequence[str]) -> None:
    """Samples codes, decodes them, writes the files."""
    config = runs.parse(Config, "sample", __doc__, argv)
    refuse_own(config.out, config.run_dir)
    model = open_model(config.run_dir, config.checkpoint)
    count = len(model.keys)
    asked = [runs.seed_index(config.seed, model.first_seed, count)]
    chosen = range(count) if config.seed is None else asked
    for index in chosen:
        view = View(model.learner.autoencoder, on_one_device(unstack(model.state, index)))
        codes = view.sample(config.n, config.noise_seed)
        images = np.round(view.decode(codes) * 255).astype(np.uint8)
        try:
            write(config.out, f"seed{model.first_seed + index}", images, codes)
        except OSError as error:
            raise UserError(
                "--out", config.out, f"can't be written ({error.strerror})", "give a writable folder"
            ) from error
    cli.say(f"wrote {config.n} images of {len(chosen)} seed(s) to {config.out}")


def write(out: Path, name: str, images: np.ndarray, codes: np.ndarray) -> None:
    """Single files, the sheet, and the npz of one seed."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        write_atomically(folder / f"{i:04d}.png", png.getvalue(), "--out", "give a writable folder")
    arrays = io.BytesIO()
    np.savez(arrays, images=images, codes=codes)
    write_atomically(out / f"{name}.npz", arrays.getvalue(), "--out", "give a writable folder")
    shown = images[:400]
    columns = math.isqrt(len(shown) - 1) + 1
    rows = -(-len(shown) // columns)
    sheet = np.full((rows * columns, *images.shape[1:]), 255, np.uint8)
    sheet[: len(shown)] = shown
    image_grid(out / f"{name}.png", sheet.reshape(rows, columns, *images.shape[1:]))


if __name__ == "__main__":
    cli.main(main)
