"""Files of any example whose sizes differ are told before training, by their headers."""

import numpy as np
import pytest
from PIL import Image

from tests.train.data.layout_files import truncate, write_example, write_folders, write_pack
from tests.train.data.test_label_examples import open_files
from train.data.example_sizes import check_sizes
from train.data.label_config import LayoutConfig, open_layouts
from train.data.label_examples import LayoutFiles
from train.data.pair_geometry import Geometry
from train.errors import UserError


def grey(path, width, height, orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("L", (width, height)).save(path, exif=exif)


@pytest.mark.parametrize("kind", ["labels", "instances"])
def test_the_third_example_is_compared_too(tmp_path, kind):
    folders = write_folders(tmp_path, 4)
    grey(folders[kind] / "view2.png", 16, 24)
    with pytest.raises(
        UserError, match=rf"--data.{kind} = .*view2.png: .* map is 16 x 24 and the photo 24 x 16"
    ):
        check_sizes(open_files(folders))


@pytest.mark.parametrize(
    ("mode", "width", "height", "message"),
    [
        ("crop", 12, 12, "--data.crop-size = 16: .*view2.png: an image of 12 x 12 becomes 12 x 12, smaller"),
        (
            "scale_width",
            24,
            12,
            "--data.resize-mode = scale_width: .*view2.png becomes 20 x 10 and others 20 x 20",
        ),
    ],
)
def test_so_is_what_sizes_become(tmp_path, mode, width, height, message):
    folders = write_folders(tmp_path, 2, 24, 24)
    write_example(folders, "view2", 2, width, height, 4)
    with pytest.raises(UserError, match=message):
        check_sizes(open_files(folders, Geometry(mode, 20, 16)))


def test_what_headers_tell_is_not_read(tmp_path, monkeypatch):
    folders = write_folders(tmp_path, 3)
    (folders["images"] / "view1.png").unlink()
    grey(folders["images"] / "view1.jpg", 16, 24, orientation=6)
    truncate(folders["labels"] / "view2.png")  # behind its header
    files = open_files(folders)
    monkeypatch.setattr(LayoutFiles, "example", lambda *_: pytest.fail("was read"))
    check_sizes(files)


def test_what_headers_do_not_tell_is_read(tmp_path):
    folders = write_folders(tmp_path, 2)
    photo = folders["images"] / "view1.png"
    grey(photo, 16, 24, orientation=6)
    content = photo.read_bytes()
    at = content.index(b"eXIf") - 4
    after = at + 12 + int.from_bytes(content[at : at + 4], "big")
    photo.write_bytes(content[:at] + content[after:-12] + content[at:after] + content[-12:])
    (folders["labels"] / "view0.png").write_text("no image")  # is counted where it is read
    check_sizes(open_files(folders))
    assert np.array_equal(open_files(folders).read(np.arange(2))[1], [False, True])


def test_folders_and_packs_are_compared_when_they_are_opened(tmp_path):
    folders = write_folders(tmp_path / "all", 8)
    grey(folders["labels"] / "view5.png", 10, 9)
    settings = {"classes": 4, "ignore_instances": True, "crop_size": 16}
    one = LayoutConfig(source="folders", labels=folders["labels"], images=folders["images"], **settings)
    pack = write_pack(tmp_path / "pack.npz", folders)
    for config, name in (
        (one, "images/view5.png"),
        (LayoutConfig(source="packed", path=pack, **settings), "view5"),
    ):
        with pytest.raises(UserError, match=rf"{name}.*the label map is 10 x 9 and the photo 24 x 16"):
            open_layouts(config)
