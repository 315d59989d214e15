"""Listing and pairing of folders."""

import pytest

from tests.train.data.layout_files import write_folders
from train.data.label_folders import Pairing, list_folders, natural
from train.errors import UserError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_natural_order():
    assert sorted(["a10", "a2", "b1", "a2b", "1"], key=natural) == ["1", "a2", "a2b", "a10", "b1"]


def test_triples_in_natural_order(tmp_path):
    folders = write_folders(tmp_path, 11)
    triples = list_folders(folders["labels"], folders["images"], folders["instances"], Pairing())
    assert len(triples) == 11 and triples.instances and triples.name == "images"
    for i in range(11):
        for file, kind in zip(triples[i], folders, strict=True):
            assert file.content == folders[kind] / f"view{i}.png" and str(file.content) == file.name
    pairs = list_folders(folders["labels"], folders["images"], None, Pairing())
    assert not pairs.instances and pairs[3].instance is None


def test_suffixes_differ_and_other_files_are_left_alone(tmp_path):
    labels = touch(tmp_path / "l", "b/2.png", "a/1.PNG", "notes.txt", "a/1.json")
    images = touch(tmp_path / "i", "1.jpeg", "2.JPG", ".DS_Store")
    rows = list_folders(labels, images, None, Pairing()).rows
    assert [[path.name for path in row] for row in rows] == [["1.PNG", "1.jpeg"], ["2.png", "2.JPG"]]


def test_cityscapes_names(tmp_path):
    stems = [f"aachen_00000{i}_000019" for i in range(2)]
    fine = [f"aachen/{s}_gtFine_{kind}.png" for s in stems for kind in ("labelIds", "instanceIds", "color")]
    labels = touch(tmp_path / "l", *fine)
    images = touch(tmp_path / "i", *(f"aachen/{s}_leftImg8bit.png" for s in stems))
    pairing = Pairing("_labelIds.png", "_instanceIds.png", name_parts=3)
    rows = list_folders(labels, images, labels, pairing).rows
    assert [[path.stem.split("_")[-1] for path in row] for row in rows] == 2 * [
        ["labelIds", "leftImg8bit", "instanceIds"]
    ]
    with pytest.raises(UserError, match="has no partner"):
        list_folders(labels, images, labels, Pairing("_labelIds.png", "_instanceIds.png"))


def test_unpaired_names(tmp_path):
    labels = touch(tmp_path / "l", "1.png", "2.png", "3.png")
    with pytest.raises(UserError, match=r"--data.images = .*i: 2.png \(and 1 more\) of .*l has no partner"):
        list_folders(labels, touch(tmp_path / "i", "1.jpg"), None, Pairing())
    with pytest.raises(UserError, match=r"--data.test-labels = .*l: 4.jpg of .*j has no partner"):
        images = touch(tmp_path / "j", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
        list_folders(labels, images, None, Pairing(), "--data.test-")
    images = touch(tmp_path / "k", "1.jpg", "1.png", "2.jpg", "3.jpg")
    with pytest.raises(UserError, match="files of some names"):
        list_folders(labels, images, None, Pairing())


def test_label_maps_are_no_photos(tmp_path):
    labels = touch(tmp_path / "l", "1.png")
    (tmp_path / "link").symlink_to("l")
    with pytest.raises(UserError, match=r"--data.images = .*link: is the folder of the label maps, too"):
        list_folders(labels, tmp_path / "link", None, Pairing())
    with pytest.raises(UserError, match=r"--data.instances = .*l: is the folder of the label maps, too"):
        list_folders(labels, touch(tmp_path / "i", "1.jpg"), labels, Pairing())


def test_empty_and_missing_folders(tmp_path):
    labels, images = touch(tmp_path / "l", "1.png"), touch(tmp_path / "i", "1.txt")
    with pytest.raises(UserError, match=r"--data.images = .*holds no image; name a folder of .png"):
        list_folders(labels, images, None, Pairing())
    with pytest.raises(UserError, match=r"holds no image whose name ends in _ids.png"):
        list_folders(labels, images, None, Pairing("_ids.png"))
    with pytest.raises(UserError, match=r"--data.instances = .*no such folder"):
        list_folders(labels, labels, tmp_path / "none", Pairing())
