import os

import pytest

from train.data.class_names import read_class_names
from train.errors import UserError
from train.json_files import read_json
from train.npz_files import read_npz
from train.regular_files import require_regular


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
    ],
)
def test_no_reader_waits_for_a_pipe(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="is not a regular file"):
        read(tmp_path / "pipe.json")
