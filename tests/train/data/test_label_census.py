"""Values of label maps are counted before training, and every mistake about classes is told with its remedy."""

import json

import numpy as np
import pytest
from PIL import Image

from train.data.label_census import LIMIT, Census, check_classes, listed, take_census
from train.data.label_config import LayoutConfig, open_layouts
from train.data.label_folders import FolderTriples
from train.data.label_maps import ClassTable
from train.errors import UserError

TWELVE = 12


def folders_of(folder, maps, prefix=""):
    """Photos and label maps, of which each holds the given values in stripes."""
    paths = {kind: folder / f"{prefix}{kind}" for kind in ("labels", "images")}
    for path in paths.values():
        path.mkdir(parents=True)
    for i, values in enumerate(maps):
        columns = np.resize(np.repeat(values, -(-TWELVE // len(values))), TWELVE)
        label = np.tile(columns, (TWELVE, 1)).astype(np.uint16 if max(values) > 255 else np.uint8)
        Image.fromarray(label).save(paths["labels"] / f"{i}.png")
        Image.fromarray(np.full((TWELVE, TWELVE, 3), i, np.uint8)).save(paths["images"] / f"{i}.png")
    return {f"{prefix}{kind}": path for kind, path in paths.items()}


def opened(folders, **changes):
    return open_layouts(LayoutConfig(source="folders", crop_size=8, **folders, **changes))


REMAP = r"--data.classes 2 and --data.remap FILE, a JSON file of \{\"0\": 0, \"255\": 1\}"


@pytest.mark.parametrize(
    ("maps", "changes", "message"),
    [
        ([[0, 7], [19, 3]], {}, r"^--data.classes = None: .*2 label maps hold 0, 3, 7, 19; give --data.classes 20,"),
        ([[0, 1], [2, 12]], {}, r"hold 0 to 2, 12; give --data.classes 13,"),
        ([[0, 1, 2], [3, 255]], {}, r"give --data.classes 4 and, if 255 means unknown, --data.dont-care True"),
        ([[0, 255], [0]], {}, REMAP),
        ([[0, 300]], {}, r"give --data.classes 301,"),
        ([[0, 7], [19, 3]], {"classes": 13}, r"^--data.labels = 19: .*1.png holds the value 19, .*--data.classes 20"),
        ([[0, 1], [2, 255]], {"classes": 3}, r"= 255: .*if 255 means unknown, give --data.dont-care True; if it is"),
        ([[0, 255], [0]], {"classes": 2}, REMAP),
        ([[255], [0]], {"classes": 2}, REMAP),
        ([[0, 255]], {"classes": 2, "dont_care": True}, r"all known pixels are of class 0.*--data.remap"),
        ([[0, 255]], {"classes": 19, "dont_care": True}, r"all known pixels are of class 0.*--data.remap"),
        ([[0, 35]], {"preset": "facades"}, r"^--data.labels = 35: .*not one of the 13 classes"),
    ],
)  # fmt: skip
def test_mistakes_are_told_when_the_data_are_opened(tmp_path, maps, changes, message):
    with pytest.raises(UserError, match=message) as error:
        opened(folders_of(tmp_path, maps), **changes)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("maps", "changes", "absent"),
    [
        ([[0, 1], [2]], {"classes": 3}, ()),
        ([[0, 255], [1]], {"classes": 4, "dont_care": True}, (2, 3)),
        ([[0, 255]], {"classes": 256}, tuple(range(1, 255))),
        ([[0, 3]], {"classes": 3, "dont_care": True, "remap": {"0": 1, "3": 0}}, (2,)),
    ],
)
def test_what_fits(tmp_path, maps, changes, absent):
    if "remap" in changes:
        table = tmp_path / "table.json"
        table.write_text(json.dumps(changes["remap"]))
        changes = {**changes, "remap": table}
    assert opened(folders_of(tmp_path, maps * 10), **changes).absent == absent


def test_the_remedy_for_masks_helps(tmp_path):
    table = tmp_path / "table.json"
    table.write_text('{"0": 0, "255": 1}')
    data = opened(folders_of(tmp_path, [[0, 255]] * 10), classes=2, remap=table)
    assert data.absent == () and set(np.unique(data.train[np.arange(1)]["label"])) == {0, 1}


def test_a_value_that_only_the_last_test_map_holds(tmp_path):
    folders = folders_of(tmp_path, [[0, 1]] * 4) | folders_of(tmp_path, [[0], [1], [5]], "test_")
    with pytest.raises(UserError, match=r"^--data.test-labels = 5: .*2.png holds the value 5"):
        opened(folders, classes=2)


def test_damaged_maps_are_left_to_the_reader(tmp_path):
    folders = folders_of(tmp_path, [[0, 1]] * 3)
    (folders["labels"] / "1.png").write_bytes(b"no image")
    rows = tuple((folders["labels"] / f"{i}.png", folders["images"] / f"{i}.png") for i in range(3))
    census = take_census(FolderTriples("x", rows), "--data.labels")
    assert census.maps == 2 and census.values == (0, 1)


def test_no_map_at_all():
    assert check_classes(Census({}, 0), ClassTable.make(3, dont_care=False), "--data.labels") == ()
    assert LIMIT > 1000


def test_listed():
    assert listed([0, 1, 2, 5, 7, 8]) == "0 to 2, 5, 7 to 8" and listed([]) == ""
    assert listed(range(0, 60, 2)).endswith("22, 18 more")
