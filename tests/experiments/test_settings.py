"""Settings as JSON: what a person may have written into config.json is read as it was meant, or refused by name."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from experiments.settings import absolute, from_json, located, paths, to_json
from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 4
    rate: float = 0.1
    on: bool = True
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    betas: tuple[float, float] = (0.9, 0.99)
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    path: Path | None = None
    limit: int | None = None


@pytest.mark.parametrize("path", [None, Path("a/b c")])
def test_settings_come_back_as_they_were(path):
    settings = Outer(inner=Inner(sizes=(), kinds=("b", "a"), name="é"), path=path, limit=3)
    assert from_json(Outer, json.loads(json.dumps(to_json(settings)))) == settings


def test_what_is_absent_is_at_its_default():
    assert from_json(Outer, {"inner": {"size": 7}}) == Outer(inner=Inner(size=7))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "config in config.json = a list of 0: is not a group of settings"),
        ("null", "config in config.json = None: is not a group"),
        ('{"inner": null}', "inner in config.json = None: is not a group"),
        ('{"inner": 3}', "inner in config.json = 3: is not a group"),
        ('{"inner": {"size": "x"}}', "inner.size in config.json = 'x': is not a whole number"),
        ('{"inner": {"size": 1.5}}', "1.5: is not a whole number"),
        ('{"inner": {"size": true}}', "True: is not a whole number"),
        ('{"inner": {"size": null}}', "None: is not a whole number"),
        ('{"inner": {"size": 9223372036854775808}}', "is too large"),
        ('{"inner": {"size": ' + "9" * 4000 + "}}", "9...: is too large"),
        ('{"inner": {"rate": 1e999}}', "inner.rate in config.json = inf: is not a finite number"),
        ('{"inner": {"rate": NaN}}', "nan: is not a finite number"),
        ('{"inner": {"rate": "0.1"}}', "'0.1': is not a number"),
        ('{"inner": {"on": 1}}', "inner.on in config.json = 1: is neither true nor false"),
        ('{"inner": {"kind": "c"}}', "'c': is not one of a, b"),
        ('{"inner": {"kind": ["a"]}}', "a list of 1: is not one of a, b"),
        ('{"inner": {"sizes": "12"}}', "'12': is not a list"),
        ('{"inner": {"sizes": {}}}', "an object of 0: is not a list"),
        ('{"inner": {"sizes": [1, "2"]}}', "'2': is not a whole number"),
        ('{"inner": {"betas": [1]}}', "holds 1 values, not 2"),
        ('{"inner": {"kinds": ["a", null]}}', "None: is not one of a, b"),
        ('{"inner": {"name": 3}}', "3: is not text"),
        ('{"path": 3}', "path in config.json = 3: is not a path"),
        ('{"path": "a\\u0000b"}', "holds a zero byte"),
        ('{"path": "\\ud800"}', "holds a character that no file name has"),
        ('{"limit": []}', "limit in config.json = a list of 0: is not a whole number"),
        ('{"new": 1}', "config.json = new: is not a setting of this version"),
        ('{"inner": {"new": 1}}', "inner.new: is not a setting"),
        ('{"inner": {"name": "' + "x" * 9 + '", "size": "' + "y" * 9999 + '"}}', "is not a whole number"),
    ],
)
def test_a_value_of_another_type_is_one_error(content, told):
    with pytest.raises(UserError) as error:
        from_json(Outer, json.loads(content))
    assert told in str(error.value) and len(str(error.value)) < 400


def test_given_paths_are_made_absolute_and_defaults_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    default = Outer(path=Path("~/cache"))
    assert located(default, default) == default
    assert located(Outer(path=Path("here/x")), default).path == tmp_path / "here" / "x"
    assert located(Outer(path=Path("~/x")), default).path == Path("/home/me/x")


@pytest.mark.parametrize("text", ["a\0b", "~no_such_user_here/x", "\ud800"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(UserError, match=r"^--data\.path = "):
        absolute(Path(text), "--data.path")


def test_paths_are_found_by_name():
    @dataclasses.dataclass(frozen=True)
    class Group:
        outer: Outer = Outer(path=Path("b"))
        top: Path = Path("a")

    assert paths(Group()) == {"outer.path": Path("b"), "top": Path("a")}
