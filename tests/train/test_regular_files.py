import os

import pytest

from train.data import fashion, ratings, xlsa17
from train.data.class_names import read_class_names
from train.data.digits import open_digits
from train.data.files import open_shapes3d
from train.errors import UserError
from train.json_files import read_json
from train.npz_files import read_npz
from train.regular_files import require_regular, why_no_file
from train.weights.files import read_state_dict


def test_files_folders_and_what_is_absent_are_for_their_readers(tmp_path):
    (tmp_path / "a").write_text("")
    for path in (tmp_path, tmp_path / "a", tmp_path / "absent"):
        require_regular(path)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_json(path, "--a", "mend it"),
        lambda path: read_npz(path, "--a"),
        lambda path: read_class_names(path, 2),
        lambda path: read_state_dict(path),
        lambda path: fashion.read_npz(path),
        lambda path: ratings.read_npz(path),
        lambda path: xlsa17.read_npz(path),
        lambda path: open_digits("npz", path),
        lambda path: open_shapes3d("h5", path),
    ],
)
def test_no_reader_waits_for_a_pipe(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="is not a regular file"):
        read(tmp_path / "pipe.npz")


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("link")
    names = {
        "": "is a folder",
        "pipe": "is not a regular file: save it first",
        "link": "is a link that leads nowhere",
    }
    for name, words in (names | {"absent": "no such file"}).items():
        assert why_no_file(tmp_path / name) == words
