"""Settings as JSON holds them: written, and read back with every value checked against its type."""

import dataclasses
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from experiments.unions import Union, union_of
from train.errors import UserError

Config = TypeVar("Config")
REMEDY = "restore that file as the run wrote it, or start a new run"
LARGEST = 2**31
"""Whole numbers stay below: no setting is larger, and sizes and seeds are numbers of 32 bits to the devices."""


def to_json(config: Any) -> dict[str, Any]:
    """A nested dataclass as JSON holds it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def from_json(config_class: type[Config], content: Any, where: str = "") -> Config:
    """The inverse of `to_json`; a setting that is absent is at its default.

    Args:
      config_class: a dataclass, nested to any depth.
      content: what JSON held.
      where: dotted name of the group, for the error.

    Raises:
      UserError: a setting is unknown to this version, or its value is not of its type.
    """
    if not isinstance(content, Mapping):
        raise _wrong(where or "config", content, "is not a group of settings")
    hints = typing.get_type_hints(config_class)
    fields = {field.name for field in dataclasses.fields(typing.cast(Any, config_class))}
    prefix = f"{where}." if where else ""
    if unknown := sorted(set(content) - fields):
        name = f"{prefix}{unknown[0]}"
        raise UserError("config.json", name[:80], "is not a setting of this version", "start a new run")
    given = {name: _typed(hints[name], value, f"{prefix}{name}") for name, value in content.items()}
    return config_class(**{**_before(config_class), **given})


def _before(config_class: type) -> dict[str, Any]:
    """What settings were before there was a choice, where their default is something else now."""
    fields = dataclasses.fields(config_class)
    return {field.name: field.metadata["before"] for field in fields if "before" in field.metadata}


def paths(config: Any, prefix: str = "") -> dict[str, Path]:
    """The files and folders that settings name, by dotted name."""
    found: dict[str, Path] = {}
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            found |= paths(value, f"{name}.")
        elif isinstance(value, Path):
            found[name] = value
    return found


def located(config: Config, default: Any, prefix: str = "--") -> Config:
    """The settings with every path that was given, not taken over, made absolute; `~` is the home folder.

    Raises:
      UserError: a path can't be one: no such home folder, a zero byte; or a number is too large for any setting.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, config)):
        value, before = getattr(config, field.name), getattr(default, field.name, None)
        flag = f"{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            changed[field.name] = located(typing.cast(Any, value), before, f"{flag}.")
        elif isinstance(value, Path) and value != before:
            changed[field.name] = absolute(value, flag)
        elif _too_large(value):
            raise UserError(flag, _brief(value), "is too large", "give a number below two billion")
    return dataclasses.replace(typing.cast(Any, config), **changed)


def _too_large(value: Any) -> bool:
    """Whether a whole number, or one of several, is beyond any setting."""
    numbers = value if isinstance(value, tuple) else (value,)
    return any(isinstance(number, int) and abs(number) >= LARGEST for number in numbers)


def absolute(path: Path, flag: str) -> Path:
    """A path that means the same from every folder.

    Raises:
      UserError: it can't be a path.
    """
    if (problem := _no_path(str(path))) is not None:
        raise UserError(flag, _brief(str(path)), problem, "give another path")
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise UserError(flag, path, "names no home folder that is known here", "write it in full") from error


def _typed(hint: Any, given: Any, name: str) -> Any:
    """The value as its type hint wants it, from what JSON holds."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(Any, hint), given, name)
    if (union := union_of(hint)) is not None:
        return _of_union(union, given, name)
    if origin in (typing.Union, types.UnionType):
        if given is None and type(None) in arguments:
            return None
        return _typed(next(part for part in arguments if part is not type(None)), given, name)
    if origin is Literal:
        if not isinstance(given, str | int) or given not in arguments:
            raise _wrong(name, given, f"is not one of {', '.join(map(str, arguments))}")
        return given
    if origin is tuple:
        return _tuple(arguments, given, name)
    if hint is Path:
        return Path(_path(given, name))
    return _plain(hint, given, name)


def _of_union(union: Union, given: Any, name: str) -> Any:
    """A group of the class that its tag names, without settings of the others; of the first where there is no tag."""
    if not isinstance(given, Mapping):
        raise _wrong(name, given, "is no group of settings")
    value = given.get(union.tag, next(iter(union.kinds)))
    if not isinstance(value, str) or value not in union.kinds:
        raise _wrong(f"{name}.{union.tag}", value, f"is none of {', '.join(union.kinds)}")
    kind = union.kinds[value]
    return from_json(kind, union.without_others(kind, given), name)


def _tuple(arguments: tuple[Any, ...], given: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(given, list | tuple):
        raise _wrong(name, given, "is not a list")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(given)
    if len(arguments) != len(given):
        raise _wrong(name, given, f"holds {len(given)} values, not {len(arguments)}")
    return tuple(_typed(hint, value, name) for hint, value in zip(arguments, given, strict=True))


def _path(given: Any, name: str) -> str:
    if not isinstance(given, str):
        raise _wrong(name, given, "is not a path")
    if (problem := _no_path(given)) is not None:
        raise _wrong(name, given, problem)
    return given


def _plain(hint: Any, given: Any, name: str) -> Any:
    if hint is bool and not isinstance(given, bool):
        raise _wrong(name, given, "is neither true nor false")
    if hint is str and not isinstance(given, str):
        raise _wrong(name, given, "is not text")
    if hint in (int, float):
        if isinstance(given, bool) or not isinstance(given, int if hint is int else int | float):
            raise _wrong(name, given, "is not a whole number" if hint is int else "is not a number")
        if isinstance(given, int) and abs(given) >= (LARGEST if hint is int else 2**63):
            raise _wrong(name, given, "is too large")
        if not math.isfinite(given):
            raise _wrong(name, given, "is not a finite number")
    return given


def _no_path(text: str) -> str | None:
    """Why the system does not take a text as a path."""
    if "\0" in text:
        return "holds a zero byte"
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return "holds a character that no file name has"
    return None


def _wrong(name: str, given: Any, problem: str) -> UserError:
    return UserError(f"{name} in config.json", _brief(given), problem, REMEDY)


def _brief(given: Any) -> str:
    """A value in few words, whatever it holds."""
    if isinstance(given, Mapping):
        return f"an object of {len(given)}"
    if isinstance(given, list | tuple):
        return f"a list of {len(given)}"
    text = ascii(given) if isinstance(given, str) else str(given)
    return text if len(text) <= 60 else f"{text[:60]}..."
