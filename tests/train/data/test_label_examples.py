"""Examples from files: what is checked, what is counted, what comes out."""

import numpy as np
import pytest
from PIL import Image

from tests.train.data.layout_files import truncate, write_example, write_folders
from train.data.label_examples import Corrupt, LayoutFiles, find_layout
from train.data.label_folders import Pairing, list_folders
from train.data.label_maps import ClassTable
from train.data.pair_geometry import Geometry
from train.errors import UserError


def open_files(folders, geometry=None, max_corrupt=2, classes=4, instances=True) -> LayoutFiles:
    """The files that `write_folders` wrote."""
    triples = list_folders(
        folders["labels"], folders["images"], folders["instances"] if instances else None, Pairing()
    )
    table, corrupt = ClassTable.make(classes, False), Corrupt(max_corrupt)
    geometry = geometry or Geometry("resize_and_crop", 20, 16)
    return LayoutFiles(
        triples, table, geometry, find_layout(triples, table, geometry, instances, corrupt), corrupt
    )


def test_an_example_is_its_files_resized(tmp_path):
    files = open_files(write_folders(tmp_path, 3, 32, 32))
    assert (files.layout.height, files.layout.width, files.layout.channels) == (16, 16, 5)
    batch, readable = files.read(np.array([2, 0]))
    assert readable.all() and batch["image"].dtype == np.uint8 and batch["label"].dtype == np.int32
    stripes = np.tile(np.repeat(np.arange(4), 4), (16, 1))
    np.testing.assert_array_equal(batch["label"][0], stripes)
    np.testing.assert_array_equal(batch["instance"], np.array([2000, 0])[:, None, None] + stripes)
    np.testing.assert_array_equal(batch["image"][..., 2], np.broadcast_to([[[2]], [[0]]], (2, 16, 16)))


def test_training_examples_are_cropped_and_flipped_alike(tmp_path):
    files = open_files(write_folders(tmp_path, 1, 32, 32))
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        example = files.example(0, random)
        np.testing.assert_array_equal(example["label"], example["instance"])
        # The label's stripes are where the photo's red has them.
        red = example["image"][..., 0].astype(float)
        assert np.abs(red * 4 / 255 - example["label"] - 0.5).max() < 0.75
        seen.add(example["label"].tobytes())
    assert len(seen) > 4


def test_without_instances(tmp_path):
    files = open_files(write_folders(tmp_path, 1), instances=False)
    assert set(files.read(np.array([0]))[0]) == {"label", "image"} and not files.layout.instances


def test_a_value_outside_the_classes_names_the_file(tmp_path):
    files = open_files(write_folders(tmp_path, 1), classes=3)
    with pytest.raises(UserError, match=r"view0.png holds the value 3, which is not one of the 3 classes"):
        files.read(np.array([0]))


@pytest.mark.parametrize("kind", ["labels", "instances"])
def test_sizes_that_do_not_pair(tmp_path, kind):
    folders = write_folders(tmp_path, 1)
    Image.new("L", (10, 9)).save(folders[kind] / "view0.png")
    with pytest.raises(
        UserError, match=rf"--data.{kind} = .*images/view0.png: .* 10 x 9 and the photo 24 x 16"
    ):
        open_files(folders).read(np.array([0]))


def test_examples_that_get_different_sizes(tmp_path):
    folders = write_folders(tmp_path, 1)
    write_example(folders, "view1", 1, 24, 12, 4)
    files = open_files(folders, Geometry("scale_width", 12, 0))
    assert (files.layout.width, files.layout.height) == (12, 8)
    with pytest.raises(
        UserError, match=r"--data.resize-mode = scale_width: .*view1.png becomes 12 x 6 and others 12 x 8"
    ):
        files.read(np.array([1]))


def test_what_cannot_be_read_is_counted_once_and_masked(tmp_path, caplog):
    folders = write_folders(tmp_path, 4)
    truncate(folders["images"] / "view1.png")
    (folders["labels"] / "view2.png").write_text("no image")
    files = open_files(folders)
    for _ in range(2):
        batch, readable = files.read(np.arange(4))
        np.testing.assert_array_equal(readable, [True, False, False, True])
        assert not batch["image"][1].any()
    assert [name.split("/")[-2:] for name in files.corrupt.names] == [
        ["images", "view1.png"],
        ["labels", "view2.png"],
    ]
    assert caplog.text.count("left out") == 2 and "view1.png" in caplog.text


def test_more_than_may_be_left_out(tmp_path):
    folders = write_folders(tmp_path, 3)
    for i in range(2):
        truncate(folders["images"] / f"view{i}.png")
    with pytest.raises(UserError, match=r"--data.max-corrupt = 1: 2 files .* the last being .*view1.png"):
        open_files(folders, max_corrupt=1)
    files = open_files(folders, max_corrupt=2)
    truncate(folders["labels"] / "view2.png")
    with pytest.raises(
        UserError, match=r"--data.max-corrupt = 2: 3 files .* the last being .*labels/view2.png"
    ):
        files.read(np.arange(3))


def test_no_photo_at_all(tmp_path):
    folders = write_folders(tmp_path, 2)
    for i in range(2):
        truncate(folders["images"] / f"view{i}.png")
    with pytest.raises(UserError, match="no photo of it can be read"):
        open_files(folders)
