"""Bounds of settings, written into their types, and the one walk that holds settings to them.

    steps: Annotated[int, AtLeast(1)] = 1000
    widths: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (16, 32)

A bound inside a tuple is that of each element. Choices are the values of a `Literal`; a float is always finite.
"""

import dataclasses
import functools
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

from train.errors import UserError


class Bound(Protocol):
    """What a value has to be."""

    def problem(self, value: Any) -> str:
        """Why the value is out of bounds; empty where it is not."""
        ...


@dataclass(frozen=True)
class AtLeast:
    """From `least` on."""

    least: float

    def problem(self, value: float) -> str:
        """See `Bound`."""
        return "" if value >= self.least else f"must be at least {self.least}"


@dataclass(frozen=True)
class Positive:
    """Above 0."""

    def problem(self, value: float) -> str:
        """See `Bound`."""
        return "" if value > 0 else "must be above 0"


@dataclass(frozen=True)
class Within:
    """From `low` to `high`; a round bracket in `ends` leaves that end out."""

    low: float
    high: float
    ends: Literal["[]", "[)", "(]", "()"] = "[]"

    def problem(self, value: float) -> str:
        """See `Bound`."""
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        return "" if above and below else f"must be in {self}"

    def __str__(self) -> str:
        return f"{self.ends[0]}{self.low:.6g}, {self.high:.6g}{self.ends[1]}"


@dataclass(frozen=True)
class NonEmpty:
    """At least one element."""

    def problem(self, value: Sequence[Any]) -> str:
        """See `Bound`."""
        return "" if len(value) else "must not be empty"


@dataclass(frozen=True)
class Distinct:
    """No element twice."""

    def problem(self, value: Sequence[Any]) -> str:
        """See `Bound`."""
        twice = [item for place, item in enumerate(value) if item in value[:place]]
        return f"must not name {twice[0]} twice" if twice else ""


@dataclass(frozen=True)
class Must:
    """What `test` says; `be` completes "must be ..."."""

    test: Callable[[Any], bool]
    be: str

    def problem(self, value: Any) -> str:
        """See `Bound`."""
        return "" if self.test(value) else f"must be {self.be}"


Element = TypeVar("Element")
Choices = Annotated[tuple[Element, ...], NonEmpty(), Distinct()]
"""One or more, none twice."""
BOUNDS = (AtLeast, Positive, Within, NonEmpty, Distinct, Must)


def check_bounds(config: Any, prefix: str = "--") -> None:
    """Raises UserError for the first setting that is out of its bounds, or not one of its choices.

    The command line and saved runs are held to their types; settings that a program makes are not, and numbers and
    choices are looked at here as well.

    Args:
      config: a dataclass, nested to any depth; what it holds is checked by its own class.
      prefix: what its flags begin with, such as "--" or "--model.".
    """
    for field in dataclasses.fields(config):
        flag, value = f"{prefix}{field.name.replace('_', '-')}", getattr(config, field.name)
        for inner in _dataclasses(value):
            check_bounds(inner, f"{flag}.")
        for wrong, problem, remedy in _problems(_hints(type(config))[field.name], value):
            raise UserError(flag, wrong, problem, remedy or _example(field))


@functools.cache
def _hints(config_class: type) -> dict[str, Any]:
    """The types of a dataclass with their bounds."""
    return typing.get_type_hints(config_class, include_extras=True)


def _bounds_of(hint: Any) -> tuple[Any, tuple[Bound, ...]]:
    """A type without its annotations, and its bounds; of a union that of its first part."""
    bounds: tuple[Bound, ...] = ()
    while True:
        if typing.get_origin(hint) is Annotated:
            bounds += tuple(mark for mark in hint.__metadata__ if isinstance(mark, BOUNDS))
            hint = hint.__origin__
        elif typing.get_origin(hint) in (typing.Union, types.UnionType):
            hint = typing.get_args(hint)[0]
        else:
            return hint, bounds


def _elements_of(hint: Any, count: int) -> tuple[Any, ...]:
    """The types of `count` elements of a tuple of this type."""
    arguments = typing.get_args(hint)
    return (arguments[0],) * count if arguments[1:] == (Ellipsis,) else arguments


def _dataclasses(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple | list) else (value,)
    return [one for one in values if dataclasses.is_dataclass(one)]


def _problems(hint: Any, value: Any) -> Iterator[tuple[Any, str, str]]:
    """(value, problem, remedy) of what is wrong with a setting or its elements; no remedy: an example is one."""
    kind, bounds = _bounds_of(hint)
    if dataclasses.is_dataclass(kind) or (value is None and type(None) in typing.get_args(hint)):
        return
    if typing.get_origin(kind) is Literal:
        if value not in (known := typing.get_args(kind)):
            yield value, "is unknown", _choices(known)
        return
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            yield value, "must be several values", ""
            return
        elements = _elements_of(kind, len(value))
        if len(elements) != len(value):
            yield _shown(value), f"must be {len(elements)} values", ""
            return
        for element, one in zip(elements, value, strict=True):
            yield from _problems(element, one)
    elif problem := _no_number(kind, value):
        yield value, problem, ""
        return
    for problem in filter(None, (bound.problem(value) for bound in bounds)):
        yield (_shown(value) or "nothing") if isinstance(value, tuple | list) else value, problem, ""


def _no_number(kind: Any, value: Any) -> str:
    """Why a value is not a finite number where one is wanted."""
    if kind not in (int, float):
        return ""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if kind is int else numbers.Real):
        return f"must be a {'whole ' if kind is int else ''}number"
    return "" if math.isfinite(value) else "must be finite"


def _choices(known: Sequence[Any]) -> str:
    return f"choose {', '.join(map(str, known[:-1]))} or {known[-1]}" if known[1:] else f"give {known[0]}"


def _example(field: dataclasses.Field[Any]) -> str:
    """What to do instead: the default shows what a value looks like."""
    missing = dataclasses.MISSING
    default = field.default if field.default_factory is missing else field.default_factory()
    shown = "" if default is missing or default is None else _shown(default)
    return f"give e.g. {shown}" if shown else "give another"


def _shown(value: Any) -> str:
    """A value as it is written on a command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
