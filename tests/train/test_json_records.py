"""Fields of files that were altered: each mistake is one error that names the field."""

import json

import pytest

from train.errors import UserError
from train.json_records import read_record

GOOD = {"n": 3, "x": 0.5, "yes": True, "name": "a", "names": ["a", "b"]}


def record(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_record(path, "RUN_DIR", path.parent, "copy it again")


def test_what_was_written(tmp_path):
    found = record(tmp_path / "a.json", GOOD)
    assert (found.whole("n"), found.number("x"), found.number("n")) == (3, 0.5, 3.0)
    assert found.flag("yes") is True and found.text("name", ["a", "b"]) == "a" and found.text("name") == "a"
    assert found.texts("names", 2) == ["a", "b"]
    assert record(tmp_path / "a.json", {"names": ["a", "a"]}).texts("names", distinct=False) == ["a", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds a list of 0, not an object"),
        ("null", "holds null"),
        ("3", "holds 3"),
        ('"' + "x" * 10**6 + '"', "holds 'xxx"),
        ("{", "can't be read"),
        ("", "can't be read"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"n":' * 100_000, "nested too deeply"),
        ('{"n": ' + "9" * 5000 + "}", "can't be read"),
    ],
)
def test_no_object(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        record(tmp_path / "a.json", content)
    check(error.value, tmp_path)


@pytest.mark.parametrize("method", ["whole", "number", "flag", "text", "texts"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"a": [1] * 10**5},
        [1],
        [None],
        [["a"]],
        ["a", "a"],
        [chr(0xD800)],
        chr(0xD800),
        -4,
        -0.5,
        float("nan"),
        float("inf"),
        1e999,
        10**30,
        2**31,
    ],
)
def test_a_value_of_another_type_or_size(method, value, tmp_path):
    found = record(tmp_path / "a.json", {"n": value})
    with pytest.raises(UserError, match=r"'n|has 'a' twice in 'n'") as error:
        getattr(found, method)("n")
    check(error.value, tmp_path)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("whole", True),
        ("whole", 3.0),
        ("whole", "3"),
        ("number", False),
        ("number", "1"),
        ("flag", 1),
        ("text", 3),
    ],
)
def test_near_misses(method, value, tmp_path):
    with pytest.raises(UserError, match="'n' = "):
        getattr(record(tmp_path / "a.json", {"n": value}), method)("n")


def test_missing_unknown_and_too_few(tmp_path):
    found = record(tmp_path / "a.json", GOOD)
    with pytest.raises(UserError, match="has no 'm'"):
        found.whole("m")
    with pytest.raises(UserError, match="'name' = 'a', which is not one of b, c"):
        found.text("name", ["b", "c"])
    with pytest.raises(UserError, match="a list of 3 or more texts"):
        found.texts("names", 3)
    with pytest.raises(UserError, match="from 4 to 5"):
        found.whole("n", 4, 5)
    with pytest.raises(UserError, match=r"its none\.json can't be read \(No such file"):
        read_record(tmp_path / "none.json", "RUN_DIR", tmp_path, "copy it again")


def check(error, tmp_path):
    """One short line that names what was given."""
    assert str(error).startswith(f"RUN_DIR = {tmp_path}: its a.json ") and len(str(error)) < 400 + len(
        str(tmp_path)
    )
    assert str(error).endswith("; copy it again") and str(error).isprintable()
