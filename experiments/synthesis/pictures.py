"""The pictures of a run on semantic layouts."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from experiments.synthesis.measures import own_styles
from experiments.synthesis.synthesiser import Synthesiser
from train.data.label_colours import colour_labels, palette
from train.data.layout_parts import Batch
from train.layout import Layout
from train.metrics_log import read_metrics
from train.report.figures import image_grid
from train.report.figures.loss_curves import Curve, curves
from train.report.report import Picture
from train.run_directory import RunDirectory

GRID = 6
"""Rows and columns of the grids of styles."""
CURVES = (
    "loss_gan",
    "loss_features",
    "loss_vgg",
    "loss_kl",
    "discriminator_on_fake",
    "discriminator_on_real",
    "logits_fake",
    "logits_real",
    "fake_std",
)


def sheet(path: Path, batch: Batch, fake: UInt8[np.ndarray, "n h w 3"], layout: Layout) -> Path:
    """label | fake | real, one column per example, and the names of the labels that occur."""
    names = layout.value_names
    labels = colour_labels(batch["label"], len(names))
    rows, colours = np.stack([labels, fake, batch["image"]]), palette(len(names))
    shown = np.unique(batch["label"])
    legend = [(names[value], tuple(colours[value].tolist())) for value in shown[shown < len(names)].tolist()]
    return image_grid(path, rows, ["label", "fake", "real"], legend=legend)


def samples_picture(folder: Path, model: Synthesiser, test: Batch) -> Picture:
    """The sheet of test examples, in their own styles."""
    fake = model.images(test, own_styles(model, test))
    path = sheet(folder / "test.png", test, fake, model.layout)
    return Picture(path, "Test layouts: label, generated, real; first seed.")


def style_pictures(folder: Path, model: Synthesiser, test: Batch) -> list[Picture]:
    """Every layout in every style, and one layout between two styles; none without a style encoder."""
    if not model.config.vae:
        return []
    count = min(GRID, len(test["image"]))
    chosen = {name: array[:count] for name, array in test.items()}
    z = model.styles(chosen["image"])
    repeated = {name: np.repeat(array, count, axis=0) for name, array in chosen.items()}
    swapped = model.images(repeated, np.tile(z, (count, 1)))
    size = swapped.shape[1:]
    swap = swapped.reshape(count, count, *size)
    head = np.concatenate([np.full((1, 1, *size), 255, np.uint8), chosen["image"][None]], axis=1)
    whole = np.concatenate([head, np.concatenate([chosen["image"][:, None], swap], axis=1)])
    weights = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
    between = (1 - weights) * z[:, None] + weights * np.roll(z, -1, axis=0)[:, None]
    line = model.images(repeated, between.reshape(count * count, -1)).reshape(count, count, *size)
    return [
        Picture(
            image_grid(folder / "styles.png", whole),
            "Left: real images whose layouts are used; above: real images whose styles are.",
        ),
        Picture(
            image_grid(folder / "between.png", line),
            "From a layout's own style (left) to that of the next image (right), on a straight line of z.",
        ),
    ]


def training_pictures(run: RunDirectory) -> list[Picture]:
    """Curves, and the newest sample sheet of the training."""
    logged = read_metrics(run.metrics)
    shown = {name: Curve(*logged[name]) for name in CURVES if name in logged}
    pictures = [
        Picture(curves(run.figures / "curves.png", shown), "Terms of the losses, as weighted; all seeds.")
    ]
    sheets = sorted(run.figures.glob("samples_*.png"))
    if sheets:
        pictures.append(
            Picture(sheets[-1], "Validation layouts at the last checkpoint; earlier ones are beside it.")
        )
    return pictures
