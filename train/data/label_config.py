"""The flags that say where layouts with photos come from, and opening them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from train.bounds import AtLeast, Positive, Within, check_bounds
from train.data.class_names import read_class_names
from train.data.example_sizes import check_sizes
from train.data.label_census import ask_for_classes, check_classes, take_census
from train.data.label_examples import Corrupt, LayoutFiles, find_layout
from train.data.label_folders import Triples, list_folders
from train.data.label_maps import ClassTable, minus_one
from train.data.label_packs import open_pack
from train.data.label_presets import PRESETS, Preset, PresetName
from train.data.layout_parts import LayoutData, LayoutPart, files_data, world_data
from train.data.layout_world import LayoutWorld
from train.data.pair_geometry import Geometry, ResizeMode
from train.data.remap import read_remap
from train.data.split import split_indices
from train.errors import UserError

EMBEDDED_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """Layouts with photos. A setting that is None is as in the preset."""

    source: Literal["embedded", "folders", "packed"] = "embedded"
    """Rendered scenes, nothing to download; folders of image files; or one npz (see train/data/label_packs.py)."""
    preset: PresetName = "custom"
    """How a published data set is read: classes, sizes, file names."""
    labels: Path | None = None
    """Folder of label maps: integers or palette indices, one class each."""
    images: Path | None = None
    """Folder of photos; they pair with the label maps by name."""
    instances: Path | None = None
    """Folder of instance maps, where there are any."""
    path: Path | None = None
    """The npz of a packed source."""
    test_labels: Path | None = None
    """Label maps of the test set (none: a share of the training set is set aside)."""
    test_images: Path | None = None
    """Photos of the test set."""
    test_instances: Path | None = None
    """Instance maps of the test set."""
    test_path: Path | None = None
    """The npz of the test set."""
    test_share: Annotated[float, Within(0, 0.5, "[)")] = 0.1
    """Share of the examples that is set aside for testing where no test set is named."""
    validation_share: Annotated[float, Within(0, 0.5, "[)")] = 0.1
    """Share of the examples that is set aside for validation."""
    classes: Annotated[int, Within(1, 2**15)] | None = None
    """L, without unknown. Files of the `custom` preset need it."""
    class_names: Path | None = None
    """Names of the classes for tables and legends: one per line, or JSON (see train/data/class_names.py)."""
    dont_care: bool | None = None
    """Whether pixels may be unknown: 255, or L itself, in label files."""
    ignore_instances: bool = False
    """Train without instance maps even if there are some."""
    remap: Path | None = None
    """Table from the values in label files to classes, as JSON or CSV; `unknown` is a class."""
    resize_mode: ResizeMode | None = None
    """How examples get one size; in `fixed` they are --data.crop-size wide."""
    load_size: Annotated[int, AtLeast(1)] | None = None
    """Training examples are resized to this (None: in the preset's proportion to the crop)."""
    crop_size: Annotated[int, AtLeast(8)] | None = None
    """Size of the final square, or width of `fixed`; of the rendered scenes, 64 if None."""
    aspect_ratio: Annotated[float, Positive()] | None = None
    """Width / height of `fixed`."""
    flip: bool = True
    """Mirror every second training example (folders and packs)."""
    official_crop_range: bool = False
    """Draw the crops of scale_shortside_and_crop from the official code's range, which can leave the image."""
    max_corrupt: Annotated[int, AtLeast(0)] = 10
    """Files that can't be read are left out, up to this many."""


def open_layouts(config: LayoutConfig) -> LayoutData:
    """Opens the data: lists, pairs and checks names, reads an example of each set, and the values of all label maps.

    Raises:
      UserError: settings that don't fit together, folders or files that are missing, empty or do not pair.
    """
    _check(config)
    if config.source == "embedded":
        return world_data(LayoutWorld(config.crop_size or EMBEDDED_SIZE))
    preset, table, geometry = chosen(config), class_table(config), geometry_of(config)
    corrupt = Corrupt(config.max_corrupt)
    triples, test_triples = _open_triples(config, preset, ""), _open_triples(config, preset, "test_")
    assert triples is not None, "_check requires a training set"
    absent = _count_classes(config, table, triples, test_triples)
    instances = _uses_instances(config, preset, triples, test_triples)
    layout = find_layout(triples, table, geometry, instances, corrupt, _flags(config, "")[1])
    layout = replace(layout, names=_names(config, preset) or layout.names)
    files = LayoutFiles(triples, table, geometry, layout, corrupt, _flags(config, ""))
    check_first(files)
    check_sizes(files)
    return replace(_divide(config, files, test_triples), absent=absent)


def _names(config: LayoutConfig, preset: Preset) -> tuple[str, ...]:
    """Those of the file that is named, or of the preset where its classes are what they were."""
    if config.class_names is not None:
        return read_class_names(config.class_names, preset.classes)
    return preset.names if len(preset.names) == preset.classes and config.remap is None else ()


def _count_classes(
    config: LayoutConfig, table: ClassTable, triples: Triples, test: Triples | None
) -> tuple[int, ...]:
    """The classes that no training map holds; the maps of both sets hold no other values than the table's.

    Raises:
      UserError: they do, or the number of classes is not given.
    """
    flag = _flags(config, "")[0]
    census = take_census(triples, flag)
    if config.classes is None and config.preset == "custom":
        raise ask_for_classes(census)
    absent = check_classes(census, table, flag)
    if test is not None:
        flag = _flags(config, "test_")[0]
        check_classes(take_census(test, flag), table, flag)
    return absent


def chosen(config: LayoutConfig) -> Preset:
    """The preset with what the flags override."""
    preset = PRESETS[config.preset]
    crop = config.crop_size or preset.crop_size
    load = config.load_size or round(preset.load_size * crop / preset.crop_size)
    return replace(
        preset,
        mode=config.resize_mode or preset.mode,
        load_size=load,
        crop_size=crop,
        classes=preset.classes if config.classes is None else config.classes,
        dont_care=preset.dont_care if config.dont_care is None else config.dont_care,
        aspect_ratio=config.aspect_ratio or preset.aspect_ratio,
    )


def class_table(config: LayoutConfig) -> ClassTable:
    """From the values in label files to classes.

    Raises:
      UserError: the remap table can't be read, or makes no sense.
    """
    preset = chosen(config)
    remap = minus_one(preset.classes) if preset.minus_one else None
    if config.remap is not None:
        remap = read_remap(config.remap.expanduser(), preset.classes, preset.dont_care)
    return ClassTable.make(preset.classes, preset.dont_care, remap)


def geometry_of(config: LayoutConfig) -> Geometry:
    """How training examples get their size; `for_evaluation` of it is that of all others."""
    p = chosen(config)
    return Geometry(p.mode, p.load_size, p.crop_size, p.aspect_ratio, config.flip, config.official_crop_range)


def _open_triples(config: LayoutConfig, preset: Preset, prefix: Literal["", "test_"]) -> Triples | None:
    """The training files, or with the prefix those of the test set; None where none are named."""
    flags = f"--data.{prefix.replace('_', '-')}"
    labels, images, instances, path = (
        getattr(config, prefix + name) for name in ("labels", "images", "instances", "path")
    )
    if config.source == "packed":
        return None if path is None else open_pack(path, f"{flags}path")
    return None if labels is None else list_folders(labels, images, instances, preset.pairing, flags)


def check_first(files: LayoutFiles) -> None:
    """Reads the first example that can be read, so that a mistake about all of them is told before training.

    Raises:
      UserError: it is not what it should be, or too many can't be read.
    """
    for row in range(len(files)):
        if files.read(np.array([row]))[1].any():
            return


def _flags(config: LayoutConfig, prefix: Literal["", "test_"]) -> tuple[str, str, str]:
    """What the label maps, photos and instance maps are named by."""
    if config.source == "packed":
        path = _flag(f"{prefix}path")
        return path, path, path
    return _flag(f"{prefix}labels"), _flag(f"{prefix}images"), _flag(f"{prefix}instances")


def _uses_instances(config: LayoutConfig, preset: Preset, triples: Triples, test: Triples | None) -> bool:
    """Whether the layout has instances: all sets have maps, and they are not ignored."""
    if config.ignore_instances:
        return False
    missing = not triples.instances or (test is not None and not test.instances)
    if missing and (preset.instances or triples.instances):
        problem = f"the {config.preset} preset" if preset.instances else "the training set"
        remedy = "name them, or give --data.ignore-instances"
        where = "--data.test-instances" if triples.instances else "--data.instances"
        raise UserError(where, None, f"{problem} has instance maps and none are named here", remedy)
    return triples.instances


def _divide(config: LayoutConfig, files: LayoutFiles, test_triples: Triples | None) -> LayoutData:
    """The parts: shares of one set, or of the training set beside a test set of its own."""
    test_share = config.test_share if test_triples is None else 0.0
    shares = (1 - config.validation_share - test_share, config.validation_share, test_share)
    split = split_indices(len(files), shares)
    train, validation, test = (LayoutPart(files, rows) for rows in split)
    if test_triples is not None:
        test_files = replace(files, triples=test_triples, flags=_flags(config, "test_"))
        check_first(test_files)
        check_sizes(test_files)
        test = LayoutPart(test_files, split_indices(len(test_files), (0.0, 0.0, 1.0)).test)
    return files_data(files, train, validation, test)


def _check(config: LayoutConfig) -> None:
    """Raises UserError for settings that are out of their bounds or don't fit together."""
    check_bounds(config, "--data.")
    _check_paths(config)


_PATHS = {
    "embedded": ((), ()),
    "folders": (("labels", "images"), ("instances", "test_labels", "test_images", "test_instances")),
    "packed": (("path",), ("test_path",)),
}
"""By source: the paths it needs, and those that it may have."""


def _check_paths(config: LayoutConfig) -> None:
    needed, possible = _PATHS[config.source]
    every = {name for groups in _PATHS.values() for group in groups for name in group}
    given = {name for name in every if getattr(config, name) is not None}
    for name in sorted(given - set(needed) - set(possible)):
        owner = next(source for source, groups in _PATHS.items() if any(name in group for group in groups))
        problem = f"--data.source {config.source} does not read it"
        raise UserError(
            _flag(name), getattr(config, name), problem, f"leave it out, or add --data.source {owner}"
        )
    for name in needed:
        if name not in given:
            problem = f"--data.source {config.source} needs it"
            raise UserError(_flag(name), None, problem, "name it, or use --data.source embedded")
    for one, other in (
        ("test_labels", "test_images"),
        ("test_images", "test_labels"),
        ("test_instances", "test_labels"),
    ):
        if one in given and other not in given:
            raise UserError(_flag(other), None, f"{_flag(one)} is named", f"name {_flag(other)} too")
    if config.source == "embedded":
        _check_embedded(config)


def _check_embedded(config: LayoutConfig) -> None:
    """Raises UserError for settings of files."""
    for name, default in vars(LayoutConfig()).items():
        value = getattr(config, name)
        if name not in ("source", "crop_size") and value != default:
            remedy = "leave it out, or name files by --data.source"
            raise UserError(_flag(name), value, "the rendered scenes have no such setting", remedy)


def _flag(name: str) -> str:
    return f"--data.{name.replace('_', '-')}"
