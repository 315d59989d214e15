"""From flags to opened data: folders, packs, presets, parts; each mistake names its flag."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.train.data.layout_files import write_folders, write_pack
from train.data.label_config import LayoutConfig, chosen, open_layouts
from train.errors import UserError
from train.seeds import seed_keys

CAMVID = {"classes": 11, "dont_care": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("layouts"), 20, 40, 32)


def config(folders, **changes) -> LayoutConfig:
    return LayoutConfig(**({"source": "folders", "classes": 4, "crop_size": 16, **folders} | changes))


def test_the_default_needs_nothing():
    data = open_layouts(LayoutConfig())
    assert (data.layout.height, data.layout.width, data.layout.classes) == (64, 64, 7)
    assert open_layouts(LayoutConfig(crop_size=32)).layout.width == 32


def test_folders(folders):
    data = open_layouts(config(folders))
    assert data.name == "images" and data.layout.channels == 5 and data.layout.height == 16
    parts = [part.rows for part in (data.train, data.validation, data.test)]
    assert [len(rows) for rows in parts] == [16, 2, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(20))
    without = open_layouts(config(folders, ignore_instances=True, validation_share=0.0))
    assert not without.layout.instances and len(without.validation) == 0 and len(without.train) == 18


def test_a_test_set_of_its_own(folders, tmp_path):
    other = {f"test_{kind}": path for kind, path in write_folders(tmp_path, 3, 40, 32).items()}
    data = open_layouts(config(folders, **other))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [18, 2, 3]
    assert data.test[np.arange(3)]["image"][:, 0, 0, 2].tolist() == [0, 1, 2]


def test_a_pack_is_the_same_data(folders, tmp_path):
    names = np.array(["sky", "road", "tree", "car", "void"])
    path = write_pack(tmp_path / "pack.npz", folders, class_names=names)
    pack = open_layouts(LayoutConfig(source="packed", path=path, classes=4, crop_size=16))
    data = open_layouts(config(folders))
    assert pack.layout == dataclasses.replace(data.layout, names=("sky", "road", "tree", "car"))
    order = np.argsort([f"view{i}" for i in range(20)])  # in which the pack was written
    ours, theirs = pack.test.source.read(np.arange(20))[0], data.test.source.read(order)[0]
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_flags_override_the_preset():
    paper = chosen(LayoutConfig(source="folders", preset="ade20k"))
    assert (paper.classes, paper.load_size, paper.crop_size, paper.dont_care) == (150, 286, 256, True)
    small = chosen(LayoutConfig(source="folders", preset="dagan-facades", crop_size=128, dont_care=True))
    assert (small.load_size, small.crop_size, small.dont_care, small.classes) == (132, 128, True, 13)
    assert chosen(LayoutConfig(source="folders", crop_size=128, load_size=200)).load_size == 200


def test_ade20k_counts_from_one(folders):
    data = open_layouts(config(folders, preset="ade20k", classes=None, ignore_instances=True))
    label = data.train.source.read(np.arange(1))[0]["label"]
    assert data.layout.channels == 151 and set(np.unique(label)) == {150, 0, 1, 2}


def test_remap(folders, tmp_path):
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"0": 1, "1": 0, "2": 0, "3": "unknown"}))
    data = open_layouts(config(folders, remap=table, classes=2, dont_care=True))
    label = data.train.source.read(np.arange(1))[0]["label"][0]
    np.testing.assert_array_equal(label, np.tile(np.repeat([1, 0, 0, 2], 4), (16, 1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": "packed"},
            r"--data.images = .*--data.source packed does not read it; .*--data.source folders",
        ),
        ({"source": "embedded"}, r"--data.images = .*--data.source embedded does not read it"),
        ({"labels": None}, r"--data.labels = None: --data.source folders needs it"),
        ({"test_images": "x"}, r"--data.test-labels = None: --data.test-images is named"),
        ({"test_instances": "x"}, r"--data.test-labels = None: --data.test-instances is named"),
        (
            {"instances": None, "preset": "coco"},
            r"--data.instances = None: the coco preset has instance maps",
        ),
        ({"classes": 0}, r"--data.classes = 0: must be in"),
        ({"classes": 10**6}, r"--data.classes = 1000000: must be in"),
        ({"crop_size": 4}, r"--data.crop-size = 4"),
        ({"load_size": 10}, r"--data.crop-size = 16: an image of 40 x 32 becomes 10 x 10"),
        ({"aspect_ratio": -1.0}, r"--data.aspect-ratio"),
        ({"validation_share": 0.6}, r"--data.validation-share"),
        ({"max_corrupt": -1}, r"--data.max-corrupt"),
    ],
)
def test_mistakes(folders, changes, message):
    with pytest.raises(UserError, match=message):
        open_layouts(config(folders, **changes))


def test_a_test_set_without_instances(folders, tmp_path):
    other = write_folders(tmp_path, 1, 40, 32)
    changes = {"test_labels": other["labels"], "test_images": other["images"]}
    with pytest.raises(UserError, match=r"--data.test-instances = None: the training set has instance maps"):
        open_layouts(config(folders, **changes))


def test_a_test_set_is_checked_before_training(folders, tmp_path):
    """Its files are named by its own flags."""
    other = {f"test_{kind}": path for kind, path in write_folders(tmp_path, 2, 40, 32, classes=6).items()}
    with pytest.raises(UserError, match=r"--data.test-labels = 4: .*view0.png holds the value 4"):
        open_layouts(config(folders, **other))
    pack = write_pack(tmp_path / "pack.npz", folders)
    wide = {f"test_{kind}": path for kind, path in write_folders(tmp_path / "wide", 2, 40, 32, 6).items()}
    test_pack = write_pack(tmp_path / "test.npz", {k.removeprefix("test_"): p for k, p in wide.items()})
    with pytest.raises(UserError, match=r"--data.test-path = 4"):
        open_layouts(LayoutConfig(source="packed", path=pack, test_path=test_pack, classes=4, crop_size=16))


@pytest.mark.parametrize(
    ("name", "value"), [("preset", "coco"), ("classes", 3), ("flip", False), ("max_corrupt", 3)]
)
def test_settings_of_files_are_for_files(name, value):
    with pytest.raises(UserError, match=f"--data.{name.replace('_', '-')} = .* have no such setting"):
        open_layouts(LayoutConfig(**{name: value}))


@pytest.mark.parametrize(
    ("name", "changes", "channels"),
    [
        ("camvid_256x192", {**CAMVID, "resize_mode": "fixed", "aspect_ratio": 4 / 3}, 12),
        ("coco_stuff_samples_256", {"preset": "coco"}, 184),
        ("facades22_256", {"preset": "facades"}, 13),
    ],
)
def test_real_packs(shared, name, changes, channels):
    folder = shared / "data" / "semantic"
    second = folder / f"{name}_{'val' if name.startswith('coco') else 'test'}.npz"
    settings = {"path": folder / f"{name}_train.npz", "test_path": second, "crop_size": 64}
    data = open_layouts(LayoutConfig(source="packed", **settings, **changes))
    assert data.layout.channels == channels
    height = 48 if name.startswith("camvid") else 64
    padded = next(data.test.batches(4))
    assert padded.batch["image"].shape == (4, height, 64, 3) and padded.mask.all()
    assert padded.batch["label"].max() < channels
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    chunk = data.feed(2, seed_keys(0, 1), mesh, 1).chunk(0, 1)
    assert chunk["image"].shape == (1, 1, 2, height, 64, 3) and ("instance" in chunk) == (channels == 184)


def test_classes_of_folders_have_names(folders, tmp_path):
    """From a file, or from the preset where its classes are what they were."""
    names = tmp_path / "names.txt"
    names.write_text("sky\nroad\ntree\ncar\n")
    data = open_layouts(config(folders, class_names=names))
    assert data.layout.names == ("sky", "road", "tree", "car") and data.test.source.layout == data.layout
    cityscapes = chosen(LayoutConfig(source="folders", preset="cityscapes"))
    assert cityscapes.names[7] == "road" and len(cityscapes.names) == len(set(cityscapes.names)) == 35
    names.write_text("sky\nroad\n")
    with pytest.raises(UserError, match=r"--data.class-names = .*names 2 classes, but there are 4"):
        open_layouts(config(folders, class_names=names))
