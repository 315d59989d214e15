"""Names of classes from text and JSON; every file that is wrong is one error."""

import pytest

from train.data.class_names import read_class_names
from train.errors import UserError


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.txt", "sky\nroad\n a  tree \n"),
        ("names.csv", "\ufeffsky\r\nroad\r\na tree"),
        ("names.json", '["sky", "road", "a tree"]'),
        ("names.JSON", '\ufeff{"1": "road", "0": "sky", "2": "a tree"}'),
    ],
)
def test_names(tmp_path, file, content):
    path = tmp_path / file
    path.write_bytes(content.encode())
    assert read_class_names(path, 3) == ("sky", "road", "a tree")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("n.txt", b"sky\nroad", "names 2 classes, but there are 3; give one name per line"),
        ("n.txt", b"", "names 0 classes"),
        ("n.txt", b"sky\n\nroad", "leaves a name empty"),
        ("n.txt", b"sky\nsky\nroad", "names two classes 'sky'"),
        ("n.txt", b"\xff\xfe\x00", "can't be read"),
        ("n.json", b'{"1": "a", "2": "b", "3": "c"}', "keys are not the classes from 0 on"),
        ("n.json", b"[1, 2, 3]", "it is not a list of names"),
        ("n.json", b"null", "it is not a list of names"),
        ("n.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_mistakes(tmp_path, file, content, message):
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_class_names(path, 3)
    assert error.value.field == "--data.class-names"
    with pytest.raises(UserError, match="can't be read"):
        read_class_names(tmp_path, 3)
