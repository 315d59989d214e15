"""Images for label maps of your own, from a run of gaugan or dagan, or from the official released weights.

    python -m experiments.synthesise RUN_DIR --labels DIR --out DIR [--instances DIR] [--style IMAGE | --seed N]
    python -m experiments.synthesise latest_net_G.pth --data.preset ade20k --labels DIR --out DIR

With weights (.pth, .safetensors, .npz), --data.* and --model.* say which data and which network they belong to. Label
maps are resized as training resized its own. With --no-resize they keep their sizes, where the network can double to
them; one with a style encoder makes images only of the size that it was trained on.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from experiments import cli, runs
from experiments.runs import RunPath
from experiments.synthesis import layout_synthesis
from experiments.synthesis.map_sizes import fitting, geometry_for, resized, rows_by_size, size_after
from experiments.synthesis.synthesiser import Synthesiser
from jaxmodels.torch_import.spade import split_networks
from train.atomic import write_atomically
from train.bounds import AtLeast
from train.data.image_files import Encoded, UnreadableError, list_images, read_indices, read_photo
from train.data.label_config import LayoutConfig, chosen, class_table
from train.data.label_folders import natural
from train.data.label_maps import ClassTable
from train.data.layout_parts import Batch
from train.data.pair_geometry import Geometry
from train.errors import UserError
from train.layout import Layout
from train.run_directory import open_run
from train.run_outputs import refuse_own
from train.steps.gaugan_networks import GauGANConfig, check
from train.steps.gaugan_weights import import_official
from train.weights.files import ENDINGS, read_weights

READ = ("preset", "classes", "dont_care", "remap", "resize_mode", "load_size", "crop_size", "aspect_ratio")
"""Settings that describe the data that official weights were trained on."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Images for label maps."""

    source: RunPath
    """A run of gaugan or dagan, or a file with official weights: the generator's, or those of all networks."""
    labels: Path
    """Folder of label maps: integers or palette indices, one class each."""
    out: Path
    """The folder to write, one PNG per label map."""
    instances: Path | None = None
    """Folder of instance maps of the same names, for a network that was trained with them."""
    style: Path | None = None
    """Image whose style all images get (with a style encoder); without one styles are drawn."""
    seed: Annotated[int, AtLeast(0)] = 0
    """Seed of the styles that are drawn."""
    run_seed: int | None = None
    """Which of the run's seeds (default: the first)."""
    batch_size: Annotated[int, AtLeast(1)] = 8
    """Images per call of the network."""
    resize: bool = True
    """Resize label maps as training did; without it each keeps its size."""
    data: LayoutConfig = field(default_factory=LayoutConfig)
    """Official weights: the data they were trained on, by --data.preset, or by their classes, sizes and so on."""
    encoder: Path | None = None
    """Official weights: those of the style encoder (latest_net_E.pth)."""
    model: GauGANConfig = field(default_factory=GauGANConfig)
    """Official weights: the network they are of."""


_DEFAULTS = Config(source=Path(), labels=Path(), out=Path())


def main(argv: Sequence[str]) -> None:
    """Reads label maps, generates, writes."""
    config = runs.parse(Config, "synthesise", __doc__, argv)
    if config.style is not None:
        _refuse(
            config,
            ("seed",),
            "is for styles that are drawn, and --style gives one",
            "leave one of the two out",
        )
    synthesiser, data = open_synthesiser(config)
    if not synthesiser.config.vae:
        _refuse(config, ("seed",), "is for styles, which the network does not have", "leave it out")
    synthesiser = replace(synthesiser, batch_size=config.batch_size)
    files = list_maps("--labels", config.labels)
    check_out(config, files)
    layout, geometry = synthesiser.layout, geometry_for(data, synthesiser.layout) if config.resize else None
    layouts = layouts_of(files, synthesiser, geometry)
    styled = None if config.style is None else style_of(synthesiser, config.style)
    drawn = synthesiser.draw_styles(len(files), config.seed) if styled is None else None
    z = drawn if styled is None else np.repeat(styled, len(files), 0)
    for rows in rows_by_size([(one.height, one.width) for one in layouts], config.batch_size):
        some = [files[row] for row in rows]
        batch = read_maps(some, config, layout, data, geometry)
        images = replace(synthesiser, layout=layouts[rows[0]]).images(batch, None if z is None else z[rows])
        write(config.out, some, images)
    cli.say(f"wrote {len(files)} images to {config.out}")


def layouts_of(files: Sequence[Path], synthesiser: Synthesiser, geometry: Geometry | None) -> list[Layout]:
    """That of each image, once its map is resized; says how many are.

    Raises:
      UserError: a map can't be read, or the network can't make images of its size.
    """
    trained, layouts, resizings = synthesiser.layout, [], 0
    for path in files:
        height, width = _indices("--labels", path).shape
        size = size_after(geometry, trained, (height, width), path)
        layouts.append(fitting(trained, synthesiser.config, size, path, (height, width)))
        resizings += size != (height, width)
    if resizings:
        cli.say(f"{resizings} of {len(files)} label maps are resized, as in training (not with --no-resize)")
    return layouts


def open_synthesiser(config: Config) -> tuple[Synthesiser, LayoutConfig]:
    """The network, and how label files of its data are read.

    Raises:
      UserError: there is no such run, or the weights are another network's.
    """
    if config.source.suffix.lower() in ENDINGS:
        _refuse(config, ("run_seed",), "a file of weights has no such thing", "leave it out")
        _refuse(_without(config, READ), ("data",), "is for training", "leave it out")
        return _from_weights(config)
    if config.source.is_file():
        remedy = f"give a run, or weights that end in {', '.join(ENDINGS)}"
        raise UserError("RUN_DIR_OR_WEIGHTS", config.source, "an unknown kind of file", remedy)
    run = open_run(config.source, "RUN_DIR")
    _refuse(config, ("encoder", "data", "model"), "a run has its own", "leave it out, or give weights")
    system = layout_synthesis.open_system(run, config.source)
    saved, layout = system.config, system.layout
    index = runs.seed_index(config.run_seed, saved.seed, saved.seeds, "--run-seed")
    data = replace(saved.data, classes=layout.classes, dont_care=layout.dont_care)
    return layout_synthesis.synthesisers(saved, layout, system.load(run, system.serves))[index], data


def _without(config: Config, names: Sequence[str]) -> Config:
    """With these settings of the data at their defaults."""
    return replace(
        config, data=replace(config.data, **{name: getattr(_DEFAULTS.data, name) for name in names})
    )


def _refuse(config: Config, fields: Sequence[str], problem: str, remedy: str) -> None:
    """Raises UserError where one of the fields was given."""
    for name in fields:
        value, default = getattr(config, name), getattr(_DEFAULTS, name)
        if value == default:
            continue
        if is_dataclass(value):
            inner = next(key for key in vars(value) if getattr(value, key) != getattr(default, key))
            name, value = f"{name}.{inner}", getattr(value, inner)
        raise UserError(f"--{name.replace('_', '-')}", value, problem, remedy)


def _from_weights(config: Config) -> tuple[Synthesiser, LayoutConfig]:
    preset = chosen(config.data)
    height = round(preset.crop_size / preset.aspect_ratio) if preset.mode == "fixed" else preset.crop_size
    instances = config.instances is not None
    layout = Layout(preset.classes, preset.dont_care, instances, height, preset.crop_size)
    check(config.model, layout)
    layout_synthesis.check_upsampling(config.model, config.data)
    dicts = split_networks(read_weights(config.source, "RUN_DIR_OR_WEIGHTS"))
    dicts.pop("discriminator", None)
    if config.encoder is not None:
        dicts["encoder"] = read_weights(config.encoder, "--encoder")
    if config.style is not None and "encoder" not in dicts:
        raise UserError("--style", config.style, "needs a style encoder", "name its weights by --encoder")
    try:
        state = import_official(dicts, jax.random.key(config.seed), config.model, layout)
    except ValueError as error:
        remedy = "give the --data and --model settings, and --instances, that they were trained with"
        raise UserError("RUN_DIR_OR_WEIGHTS", config.source, f"does not fit: {error}", remedy) from error
    return Synthesiser(state, config.model, layout), config.data


def list_maps(flag: str, folder: Path) -> list[Path]:
    """The image files of a folder, in natural order.

    Raises:
      UserError: there is no such folder, or no image in it.
    """
    return sorted(list_images(folder, flag), key=lambda path: natural(path.name))


def check_out(config: Config, files: Sequence[Path]) -> None:
    """Raises UserError where writing would overwrite a map, or one image another."""
    if config.source.is_dir():
        refuse_own(config.out, config.source)
    for folder in (config.labels, config.instances):
        same = folder is not None and config.out.exists() and folder.exists() and config.out.samefile(folder)
        if folder is not None and (same or config.out.resolve() == folder.resolve()):
            raise UserError("--out", config.out, "is where the maps are", "give another folder")
    stems = [path.stem for path in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        remedy = "give maps of different names"
        raise UserError("--labels", config.labels, f"holds several maps called {twice[0]}", remedy)


def read_maps(
    files: Sequence[Path], config: Config, layout: Layout, data: LayoutConfig, geometry: Geometry | None
) -> Batch:
    """The label maps, and instance maps, of one call, once resized all of one size."""
    table = class_table(data)
    labels = [_classes(table, path) for path in files]
    batch = {"label": _stacked(labels, geometry, layout)}
    if layout.instances:
        if config.instances is None:
            remedy = "name the folder of instance maps"
            raise UserError("--instances", None, "the network was trained with instances", remedy)
        others = [config.instances / path.name for path in files]
        instances = [_indices("--instances", path) for path in others]
        for path, one, label in zip(others, instances, labels, strict=True):
            if one.shape != label.shape:
                raise UserError("--instances", path, "is not of the label map's size", "give maps that pair")
        batch["instance"] = _stacked(instances, geometry, layout)
    elif config.instances is not None:
        problem = "the network was trained without instances"
        raise UserError("--instances", config.instances, problem, "leave it out")
    return batch


def _classes(table: ClassTable, path: Path) -> Int[np.ndarray, "h w"]:
    try:
        return table.to_classes(_indices("--labels", path), path.name, "--labels")
    except UserError as error:
        remedy = "give maps of the classes that the network was trained on"
        raise UserError("--labels", path, error.problem, remedy) from error


def _indices(flag: str, path: Path) -> Int[np.ndarray, "h w"]:
    try:
        return read_indices(Encoded(str(path), path), flag)
    except UnreadableError as error:
        raise UserError(
            flag, path, f"can't be read as an image ({error.reason})", "remove or replace it"
        ) from error


def _stacked(
    maps: Sequence[np.ndarray], geometry: Geometry | None, layout: Layout
) -> Int[np.ndarray, "n h w"]:
    return np.stack([resized(one, geometry, layout) for one in maps]).astype(np.int32)


def style_of(synthesiser: Synthesiser, path: Path) -> Float[np.ndarray, "1 z"]:
    """The style of an image file.

    Raises:
      UserError: the network has no style encoder, or the file is not an image.
    """
    if not synthesiser.config.vae:
        remedy = "leave it out, or take a run with --model.vae"
        raise UserError("--style", path, "the network has no style encoder", remedy)
    try:
        photo = read_photo(Encoded(str(path), path))
    except UnreadableError as error:
        problem = f"can't be read as an image ({error.reason})"
        raise UserError("--style", path, problem, "give a PNG or JPEG file") from error
    size = (synthesiser.layout.width, synthesiser.layout.height)
    pixels = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC), np.uint8)
    return synthesiser.styles(pixels[None])


def write(out: Path, files: Sequence[Path], images: np.ndarray) -> None:
    """One PNG file per map, under its name."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, image in zip(files, images, strict=True):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            write_atomically(out / f"{path.stem}.png", png.getvalue(), "--out", "give a writable folder")
    except OSError as error:
        raise UserError(
            "--out", out, f"can't be written ({error.strerror})", "give a writable folder"
        ) from error


if __name__ == "__main__":
    cli.main(main)
