"""Every bounded setting of every experiment and preset, set wrong, is named by its flag and with its value.

Settings and their bounds are found here by walking the types' own arguments, not by the walk that is tested.
"""

import dataclasses
import importlib
import math
import typing
from typing import Any, Literal, NamedTuple

import pytest

from experiments import benchmark
from experiments.cli import EXPERIMENTS
from experiments.experiment import experiment_named
from train.bounds import BOUNDS, AtLeast, Distinct, Must, NonEmpty, Positive, Within, check_bounds
from train.errors import UserError

CANDIDATES = (-1, 0, 2, 3, 12, 1.5, "no such", (), (1,), (1, 1, 1, 1))
"""Values among which one is wrong for any `Must`."""


class Place(NamedTuple):
    """A type somewhere in a setting: a mark of `Annotated`, or int, float or a Literal itself."""

    path: tuple[str, ...]
    element: int | None
    kind: Any
    mark: Any


def places(config: Any, path: tuple[str, ...] = ()) -> list[Place]:
    found = []
    for setting in dataclasses.fields(config):
        where, value = (*path, setting.name), getattr(config, setting.name)
        if dataclasses.is_dataclass(value):
            found += places(value, where)
        else:
            found += within(setting.type, where, None)
    return found


def within(hint: Any, path: tuple[str, ...], element: int | None) -> list[Place]:
    arguments, marks = typing.get_args(hint), getattr(hint, "__metadata__", ())
    if marks:
        inner = within(hint.__origin__, path, element)
        return [
            *inner,
            *(Place(path, element, hint.__origin__, mark) for mark in marks if isinstance(mark, BOUNDS)),
        ]
    if hint in (int, float) or typing.get_origin(hint) is Literal:
        return [Place(path, element, hint, hint)]
    if typing.get_origin(hint) is tuple:
        return [
            place for i, part in enumerate(arguments) if part is not ... for place in within(part, path, i)
        ]
    return [place for part in arguments for place in within(part, path, element)]


def wrong_values(place: Place, value: Any) -> list[Any]:
    """Values, of the setting or of its element, that are wrong."""
    not_finite = [math.nan, math.inf, -math.inf] if place.kind is float else []
    match place.mark:
        case AtLeast(least):
            return [least - 1, least - 1000, *not_finite]
        case Positive():
            return [0.0, -1.0, *not_finite]
        case Within(low, high, ends):
            at_ends = [end for end, bracket in zip((low, high), ends, strict=True) if bracket in "()"]
            return [low - 1, high + 1, *at_ends, *not_finite]
        case NonEmpty():
            return [()]
        case Distinct():
            return [(*value, value[0])] if value else []
        case Must() as must:
            return [one for one in CANDIDATES if of_kind(one, place.kind) and must.problem(one)]
        case kind if kind is int:
            return [True]
        case kind if kind is float:
            return [math.nan, math.inf, True]
        case _:
            return ["no such"]


def of_kind(value: Any, kind: Any) -> bool:
    return type(value) is (typing.get_origin(kind) or kind)


def changed(config: Any, path: tuple[str, ...], value: Any) -> Any:
    name, *rest = path
    return dataclasses.replace(
        config, **{name: changed(getattr(config, name), tuple(rest), value) if rest else value}
    )


def value_at(config: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        config = getattr(config, name)
    return config


def set_wrong(config: Any) -> list[tuple[str, Any, Any]]:
    """(flag, wrong value, settings that hold it) of every way in which a setting can be wrong."""
    cases = []
    for place in places(config):
        flag, before = f"--{'.'.join(place.path)}".replace("_", "-"), value_at(config, place.path)
        wrongs = wrong_values(place, before)
        assert wrongs or place.mark == Distinct(), (place, "no wrong value is known")
        for wrong in wrongs:
            value = wrong
            if place.element is not None:
                value = (*before[: place.element], wrong, *before[place.element + 1 :])
            cases.append((flag, wrong, changed(config, place.path, value)))
    return cases


def shown(value: Any) -> Any:
    return " ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else value


PRESETS = [
    (name, preset)
    for name in EXPERIMENTS
    for preset in importlib.import_module(f"experiments.{name}").PRESETS
]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_wrong_setting_is_named_by_its_flag(name, preset):
    check = experiment_named(name).check
    cases = set_wrong(importlib.import_module(f"experiments.{name}").PRESETS[preset])
    assert len(cases) > 50
    for flag, wrong, config in cases:
        with pytest.raises(UserError) as error:
            check(config)
        assert (error.value.field, repr(error.value.value)) == (flag, repr(shown(wrong)))


BENCHMARKS = [typing.get_args(kind)[0] for kind in typing.get_args(benchmark.Config)]


@pytest.mark.parametrize("kind", BENCHMARKS, ids=lambda kind: kind.__name__)
def test_so_is_one_of_the_benchmark(kind):
    cases = set_wrong(kind())
    assert len(cases) > 10
    for flag, wrong, config in cases:
        with pytest.raises(UserError) as error:
            check_bounds(config)
        assert (error.value.field, repr(error.value.value)) == (flag, repr(shown(wrong)))


UNBOUNDED = {
    "model.kl.start": "an epoch before the first one is a start as well",
    "model.kl.end": "is held against the start",
    "model.cross_alignment.start": "as above",
    "model.cross_alignment.end": "as above",
    "model.distribution_alignment.start": "as above",
    "model.distribution_alignment.end": "as above",
    "data.min_rating": "the scale of ratings is that of the data",
}


def test_a_number_without_bounds_is_rare():
    found = set()
    for name, preset in PRESETS:
        every = places(importlib.import_module(f"experiments.{name}").PRESETS[preset])
        numbers = {(one.path, one.element) for one in every if one.mark in (int, float)}
        bounded = {(one.path, one.element) for one in every if isinstance(one.mark, BOUNDS)}
        found |= {".".join(path) for path, _ in numbers - bounded}
    assert found == set(UNBOUNDED)
