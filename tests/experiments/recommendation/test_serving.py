"""The catalogue of a run, altered in every way: one error that names the field. A trained run is in test_recommend."""

import json

import pytest

from experiments.recommendation.serving import CATALOGUE, Catalogue, read_catalogue, sealed
from train.errors import UserError
from train.run_directory import RunDirectory, write_json

GOOD = {"items": ["7", "8", "9"], "users": 2, "width": 4}


def read(tmp_path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / CATALOGUE).write_text(text)
    return read_catalogue(RunDirectory(tmp_path, "multvae_movielens", {}, {}))


def test_what_was_written(tmp_path):
    assert read(tmp_path, GOOD) == Catalogue(["7", "8", "9"], 2, 4)
    assert read(tmp_path, "\ufeff" + json.dumps({"items": ["7", "8"], "users": 2})).width == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds a list of 0"),
        ("null", "holds null"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("", "can't be read"),
        ({}, "has no 'items'"),
        ({"items": ["7"]}, "has no 'users'"),
        ({**GOOD, "items": None}, "'items' = null"),
        ({**GOOD, "items": "789"}, "'items' = '789'"),
        ({**GOOD, "items": {"7": 1}}, "'items' = an object of 1"),
        ({**GOOD, "items": []}, "'items' = a list of 0"),
        ({**GOOD, "items": [7, 8, 9]}, r"'items\[0\]' = 7"),
        ({**GOOD, "items": ["7", None, "9"]}, r"'items\[1\]' = null"),
        ({**GOOD, "items": ["7", "8", "7"]}, "has '7' twice"),
        ({**GOOD, "width": "4"}, "'width' = '4'"),
        ({**GOOD, "width": None}, "'width' = null"),
        ({**GOOD, "width": 2}, "'width' = 2"),
        ({**GOOD, "width": -4}, "'width' = -4"),
        ({**GOOD, "width": 10**12}, "'width' = 1000000000000"),
        ({**GOOD, "width": 4.0}, "'width' = 4"),
        ({**GOOD, "users": 0}, "'users' = 0"),
        ({**GOOD, "users": True}, "'users' = true"),
        ({**GOOD, "users": 1e999}, "'users' = inf"),
        ({**GOOD, "users": 10**10}, "'users' = 10000000000"),
    ],
)
def test_an_altered_catalogue_is_one_clear_error(content, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"RUN_DIR = {tmp_path}: its catalogue.json ")
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [{"items": ["7", "9", "8"]}, {"items": ["8", "9"]}, {"width": 5}, {"crc32": "x"}, {"crc32": None}],
)
def test_other_items_than_those_of_the_model_are_told(changes, tmp_path):
    run = RunDirectory(tmp_path, "multvae_movielens", {}, {})
    write_json(run.path / CATALOGUE, sealed(GOOD))
    assert read_catalogue(run) == Catalogue(["7", "8", "9"], 2, 4)
    content = json.loads((tmp_path / CATALOGUE).read_text())
    with pytest.raises(UserError, match=r"its catalogue\.json was altered since the run wrote it"):
        read(tmp_path, content | changes)


def test_what_is_no_file(tmp_path):
    for make in (lambda: None, (tmp_path / CATALOGUE).mkdir):
        make()
        with pytest.raises(UserError, match=r"its catalogue\.json can't be read"):
            read_catalogue(RunDirectory(tmp_path, "multvae_movielens", {}, {}))
