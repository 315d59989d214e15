import pytest

from train.errors import UserError
from train.json_files import read_json


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
def test_reads_a_file_with_and_without_a_byte_order_mark(tmp_path, prefix):
    (tmp_path / "a.json").write_bytes(prefix + b'{"a": [1, null]}')
    assert read_json(tmp_path / "a.json", "--a", "mend it") == {"a": [1, None]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"7" * 5000,
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"a": 1, "a": 1}]',
    ],
)
def test_what_is_no_json_is_one_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"--a = .*a\.json.*can't be read.*mend it"):
        read_json(tmp_path / "a.json", "--a", "mend it")


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_what_is_no_file_is_one_error(tmp_path, name):
    with pytest.raises(UserError, match="can't be read"):
        read_json(tmp_path / name, "--a", "mend it")
