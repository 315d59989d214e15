"""The layout that a run keeps, altered: one error that names the field. Whole runs are in test_gaugan."""

import json
from dataclasses import asdict

import pytest

from experiments.synthesis.layout_synthesis import LAYOUT, saved_layout
from train.errors import UserError
from train.layout import Layout
from train.run_directory import RunDirectory

GOOD = Layout(2, True, False, 64, 32, ("wall", "wall"))


def read(tmp_path, content):
    (tmp_path / LAYOUT).write_text(content if isinstance(content, str) else json.dumps(content))
    return saved_layout(RunDirectory(tmp_path, "gaugan", {}, {}))


def test_what_was_written(tmp_path):
    assert read(tmp_path, asdict(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "2"}, "'classes' = '2'"),
        ({"classes": -1}, "'classes' = -1"),
        ({"classes": 10**9}, "'classes' = 1000000000"),
        ({"dont_care": 1}, "'dont_care' = 1"),
        ({"instances": None}, "'instances' = null"),
        ({"height": 0}, "'height' = 0"),
        ({"width": 10**6}, "'width' = 1000000"),
        ({"width": 32.5}, "'width' = 32.5"),
        ({"names": None}, "'names' = null"),
        ({"names": "ab"}, "'names' = 'ab'"),
        ({"names": [1, 2]}, r"'names\[0\]' = 1"),
        ({"names": ["a"]}, "has 1 'names' for 2 classes"),
    ],
)
def test_an_altered_field_is_one_clear_error(change, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, {**asdict(GOOD), **change})
    assert str(error.value).startswith(f"RUN_DIR = {tmp_path}: its layout.json ")


@pytest.mark.parametrize("content", ["[]", "null", "{}", "", "[" * 100_000, '{"classes": 2}'])
def test_another_file_is_one_clear_error(content, tmp_path):
    with pytest.raises(UserError, match=r"^RUN_DIR = .*its layout\.json "):
        read(tmp_path, content)
