"""A group of settings that is one of several classes: which one, a tag says, of which each class has one value.

`--model.objective vae` chooses; the settings of the others are then unknown, and those of what the classes derive from
are those of the preset.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from train.errors import UserError

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Union:
    """The classes that a group may be of, by the value of their tag."""

    tag: str
    kinds: dict[str, type]

    def without_others(self, kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as saved, without those of other classes, which runs kept before each class had its own."""
        own, known = names(kind), {name for one in self.kinds.values() for name in names(one)}
        return {name: value for name, value in content.items() if name in own or name not in known}


def union_of(hint: Any) -> Union | None:
    """The union that a type hint is, or None: it needs two classes or more, and a tag that tells them apart."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return None
    parts = typing.get_args(hint)
    if len(parts) < 2 or not all(dataclasses.is_dataclass(part) for part in parts):
        return None
    values = [_single_values(part) for part in parts]
    tag = next(name for name in values[0] if len({one.get(name) for one in values}) == len(parts))
    return Union(tag, {one[tag]: part for one, part in zip(values, parts, strict=True)})


def names(kind: type) -> set[str]:
    """Of the settings of a class."""
    return {field.name for field in dataclasses.fields(kind)}


def chosen(default: Config, argv: Sequence[str]) -> Config:
    """The default settings, with every group of the class that a flag names.

    Raises:
      UserError: a flag names none of the classes.
    """
    changed = {}
    for name, union in _unions(type(default)).items():
        flag = f"--{name.replace('_', '-')}.{union.tag}"
        wanted = peek(argv, flag)
        if wanted is None:
            continue
        if wanted not in union.kinds:
            raise UserError(flag, wanted, "is unknown", f"choose {_in_words(union.kinds)}")
        changed[name] = as_kind(union.kinds[wanted], getattr(default, name))
    return dataclasses.replace(typing.cast(Any, default), **changed)


def without_tags(kind: type, argv: Sequence[str]) -> list[str]:
    """The flags but for those that choose a class, which `chosen` has heeded: a class knows no tag but its own."""
    tags = {f"--{name.replace('_', '-')}.{union.tag}" for name, union in _unions(kind).items()}
    left, kept = list(argv), []
    while left:
        argument = left.pop(0)
        if argument in tags and left:
            left.pop(0)
        elif argument.partition("=")[0] not in tags or argument in tags:
            kept.append(argument)
    return kept


def like(reference: Config, config: Any) -> Config:
    """The reference settings, with every group of the class that it is of in the others."""
    groups = {name: type(getattr(config, name)) for name in _unions(type(config))}
    changed = {name: as_kind(kind, getattr(reference, name)) for name, kind in groups.items()}
    return dataclasses.replace(typing.cast(Any, reference), **changed)


def as_kind(kind: type, group: Any) -> Any:
    """A group of that class with the settings of what both derive from, and its own at their defaults."""
    if isinstance(group, kind):
        return group
    bases = [base for base in kind.__mro__ if isinstance(group, base) and dataclasses.is_dataclass(base)]
    return kind(**{name: getattr(group, name) for base in bases for name in names(base)})


def peek(argv: Sequence[str], flag: str) -> str | None:
    """The value of a flag that decides the defaults of others; of several the last, which is the one that counts."""
    found = None
    for i, argument in enumerate(argv):
        if argument == flag and i + 1 < len(argv):
            found = argv[i + 1]
        elif argument.startswith(f"{flag}="):
            found = argument.partition("=")[2]
    return found


def _unions(kind: type) -> dict[str, Union]:
    found = {name: union_of(hint) for name, hint in typing.get_type_hints(kind).items()}
    return {name: union for name, union in found.items() if union is not None}


def _single_values(kind: type) -> dict[str, str]:
    """The settings of a class that have one value alone."""
    hints = typing.get_type_hints(kind)
    literals = {
        name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is Literal
    }
    return {name: values[0] for name, values in literals.items() if len(values) == 1}


def _in_words(kinds: Mapping[str, type]) -> str:
    *others, last = kinds
    return f"{', '.join(others)} or {last}"
