"""Packs hold the very files of folders; real ones are read."""

import numpy as np
import pytest

from tests.train.data.layout_files import write_folders, write_pack
from train.data.image_files import read_indices, read_photo
from train.data.label_packs import open_pack
from train.errors import UserError


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("layouts"), 3)


def test_a_pack_holds_the_files(folders, tmp_path):
    pack = open_pack(write_pack(tmp_path / "few.npz", folders, class_names=np.array(["a", "b"])))
    assert len(pack) == 3 and pack.name == "few" and pack.instances and pack.class_names == ("a", "b")
    for i in range(3):
        for file, kind in zip(pack[i], folders, strict=True):
            assert file.content == (folders[kind] / f"view{i}.png").read_bytes()
    assert pack[1].label.name == "few.npz[view1].label"


def test_instances_and_class_names_may_be_absent(folders, tmp_path):
    with np.load(write_pack(tmp_path / "a.npz", folders)) as file:
        np.savez(tmp_path / "b.npz", **{k: file[k] for k in file if "instance" not in k})
    pack = open_pack(tmp_path / "b.npz")
    assert not pack.instances and pack[0].instance is None and pack.class_names == ()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"image_jpeg_offsets": np.array([0, 5])}, "image_jpeg_bytes and image_jpeg_offsets do not hold one"),
        ({"label_png_offsets": np.array([0, 9, 3, 10**6])}, "label_png_bytes"),
        ({"names": np.array(["a"])}, "for each of 1 names"),
        ({"names": np.array([{}], dtype=object)}, "not a readable npz file"),
    ],
)
def test_inconsistent_packs(folders, tmp_path, more, message):
    with pytest.raises(UserError, match=message):
        open_pack(write_pack(tmp_path / "bad.npz", folders, **more))


def test_no_pack(tmp_path):
    (tmp_path / "text.npz").write_text("no zip")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for name, problem in (
        ("text.npz", "not a readable npz"),
        ("other.npz", "has no array 'label_png_bytes' .it holds x"),
        ("missing.npz", "not a readable npz"),
    ):
        with pytest.raises(UserError, match=f"--data.test-path = .*{name}: {problem}"):
            open_pack(tmp_path / name, "--data.test-path")


@pytest.mark.parametrize(
    ("name", "count", "size", "values"),
    [
        ("camvid_256x192_val", 101, (256, 192), 12),
        ("coco_stuff_samples_256_val", 8, (256, 256), 256),
        ("facades22_256_test", 11, (256, 256), 13),
    ],
)
def test_real_packs(shared, name, count, size, values):
    pack = open_pack(shared / "data" / "semantic" / f"{name}.npz")
    assert len(pack) == count and pack.instances == name.startswith("coco")
    label = read_indices(pack[0].label, "--data.path")
    assert read_photo(pack[0].image).size == size == label.shape[::-1]
    assert label.min() >= 0 and label.max() < values and len(np.unique(label)) > 5
