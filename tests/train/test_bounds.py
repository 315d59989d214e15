"""Settings out of their bounds are named by their flag, with the value and what it must be."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
import pytest
import tyro

from train.bounds import AtLeast, Choices, Distinct, Must, NonEmpty, Positive, Within, check_bounds
from train.errors import UserError

EVEN = Must(lambda number: number % 2 == 0, "even")


@dataclass(frozen=True, kw_only=True)
class Inner:
    keep_share: Annotated[float, Within(0, 1, "(]")] = 0.5
    drop: Annotated[float, Within(0, 1, "[)")] = 0.0
    angle: Annotated[float, Within(0, math.pi / 4)] = 0.5
    free: float = -3.0
    free_int: int = -3


@dataclass(frozen=True, kw_only=True)
class Config:
    steps: Annotated[int, AtLeast(1)] = 5
    weight: Annotated[float, AtLeast(0)] = 0.0
    rate: Annotated[float, Positive()] = 0.1
    size: Annotated[int, EVEN, AtLeast(2)] = 4
    widths: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (3, 4)
    pair: tuple[Annotated[float, Positive()], float] = (1.0, -1.0)
    crop: Annotated[int, AtLeast(8)] | None = None
    kind: Literal["a", "b"] = "a"
    one: Literal["only"] = "only"
    number: Literal[3, 7] = 3
    maybe: Literal["a", "b"] | None = None
    kinds: Choices[Literal["a", "b"]] = ("a", "b")
    names: Annotated[tuple[str, ...], Distinct()] = ()
    needed: Annotated[int, AtLeast(0)] = field(default_factory=lambda: 7)
    text: str = ""
    switch: bool = False
    inner: Inner = field(default_factory=Inner)
    several: tuple[Inner, ...] = (Inner(),)


def error_of(config, prefix="--"):
    with pytest.raises(UserError) as error:
        check_bounds(config, prefix)
    return error.value


@pytest.mark.parametrize(
    "change",
    [
        {},
        {
            "steps": 1,
            "weight": 0,
            "crop": 8,
            "maybe": "b",
            "kinds": ["b"],
            "names": ("x", "y"),
            "pair": (1, 2),
        },
        {"steps": np.int64(3), "rate": np.float32(0.5)},
        {"inner": Inner(keep_share=1.0, drop=0.0, angle=math.pi / 4)},
    ],
)
def test_what_is_within_its_bounds_passes(change):
    check_bounds(replace(Config(), **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps = 0: must be at least 1; give e.g. 5"),
        ({"steps": True}, "--steps = True: must be a whole number; give e.g. 5"),
        ({"steps": 1.5}, "--steps = 1.5: must be a whole number; give e.g. 5"),
        ({"steps": None}, "--steps = None: must be a whole number; give e.g. 5"),
        ({"weight": -0.5}, "--weight = -0.5: must be at least 0; give e.g. 0.0"),
        ({"weight": math.nan}, "--weight = nan: must be finite; give e.g. 0.0"),
        ({"weight": "1"}, "--weight = 1: must be a number; give e.g. 0.0"),
        ({"weight": False}, "--weight = False: must be a number; give e.g. 0.0"),
        ({"rate": 0.0}, "--rate = 0.0: must be above 0; give e.g. 0.1"),
        ({"rate": math.inf}, "--rate = inf: must be finite; give e.g. 0.1"),
        ({"size": 3}, "--size = 3: must be even; give e.g. 4"),
        ({"size": 0}, "--size = 0: must be at least 2; give e.g. 4"),
        ({"widths": (3, 0)}, "--widths = 0: must be at least 1; give e.g. 3 4"),
        ({"widths": ()}, "--widths = nothing: must not be empty; give e.g. 3 4"),
        ({"widths": 3}, "--widths = 3: must be several values; give e.g. 3 4"),
        ({"pair": (0.0, 1.0)}, "--pair = 0.0: must be above 0; give e.g. 1.0 -1.0"),
        ({"pair": (1.0, math.nan)}, "--pair = nan: must be finite; give e.g. 1.0 -1.0"),
        ({"pair": (1.0,)}, "--pair = 1.0: must be 2 values; give e.g. 1.0 -1.0"),
        ({"crop": 7}, "--crop = 7: must be at least 8; give another"),
        ({"kind": "poisson"}, "--kind = poisson: is unknown; choose a or b"),
        ({"kind": None}, "--kind = None: is unknown; choose a or b"),
        ({"kind": ["a"]}, "--kind = ['a']: is unknown; choose a or b"),
        ({"one": "other"}, "--one = other: is unknown; give only"),
        ({"number": 5}, "--number = 5: is unknown; choose 3 or 7"),
        ({"number": "3"}, "--number = 3: is unknown; choose 3 or 7"),
        ({"maybe": "c"}, "--maybe = c: is unknown; choose a or b"),
        ({"kinds": ("a", "c")}, "--kinds = c: is unknown; choose a or b"),
        ({"kinds": "c"}, "--kinds = c: must be several values; give e.g. a b"),
        ({"kinds": ("b", "b")}, "--kinds = b b: must not name b twice; give e.g. a b"),
        ({"names": ("x", "y", "x")}, "--names = x y x: must not name x twice; give another"),
        ({"needed": -1}, "--needed = -1: must be at least 0; give e.g. 7"),
        ({"inner": Inner(keep_share=0.0)}, "--inner.keep-share = 0.0: must be in (0, 1]; give e.g. 0.5"),
        ({"inner": Inner(keep_share=1.5)}, "--inner.keep-share = 1.5: must be in (0, 1]; give e.g. 0.5"),
        ({"inner": Inner(drop=1.0)}, "--inner.drop = 1.0: must be in [0, 1); give e.g. 0.0"),
        ({"inner": Inner(drop=-0.1)}, "--inner.drop = -0.1: must be in [0, 1); give e.g. 0.0"),
        ({"inner": Inner(angle=1.0)}, "--inner.angle = 1.0: must be in [0, 0.785398]; give e.g. 0.5"),
        ({"inner": Inner(free=math.nan)}, "--inner.free = nan: must be finite; give e.g. -3.0"),
        ({"inner": Inner(free_int=False)}, "--inner.free-int = False: must be a whole number; give e.g. -3"),
        ({"several": (Inner(), Inner(drop=2.0))}, "--several.drop = 2.0: must be in [0, 1); give e.g. 0.0"),
    ],
)
def test_what_is_out_of_bounds_is_named_with_its_value_and_a_remedy(change, message):
    assert str(error_of(replace(Config(), **change))) == message


def test_the_prefix_is_what_flags_begin_with():
    assert error_of(Inner(drop=1.0), "--dae.").field == "--dae.drop"


@dataclass(frozen=True)
class Other:
    steps: Annotated[int, AtLeast(3)]


def test_a_value_is_held_to_the_bounds_of_its_own_class():
    """As where a field may hold one of several dataclasses; without a default there is no example."""

    @dataclass(frozen=True)
    class Either:
        model: Inner | Other

    check_bounds(Either(Other(3)))
    assert error_of(Either(Inner(drop=1.0))).field == "--model.drop"
    assert str(error_of(Either(Other(2)))) == "--model.steps = 2: must be at least 3; give another"


def test_the_command_line_parses_bounded_settings_as_it_parses_others():
    given = "--steps 0 --widths 5 6 --pair 2 3 --crop 9 --kinds b --inner.drop 0.25 --no-switch"
    expected = replace(
        Config(), steps=0, widths=(5, 6), pair=(2.0, 3.0), crop=9, kinds=("b",), inner=Inner(drop=0.25)
    )
    assert tyro.cli(Config, args=given.split()) == expected
