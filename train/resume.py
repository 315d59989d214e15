"""Which settings of a run may change when it goes on."""

import json
from collections.abc import Collection
from typing import Any

from train.errors import UserError
from train.json_files import parse_json
from train.run_directory import Json


def check_resume(saved: Json, wanted: Json, changeable: Collection[str]) -> None:
    """Compares the settings of a run with those it is to be resumed with.

    Args:
      saved: the run's settings.
      wanted: those asked for now.
      changeable: dotted names, of fields or groups of fields, that may change (`train.steps`).

    Raises:
      UserError: if others have changed; it tells each change, which of them may be, and which not.
    """
    before, now = _flat(saved), _flat(wanted)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    fixed = [name for name in changed if not any(f"{name}.".startswith(f"{c}.") for c in changeable)]
    if fixed:
        told = [
            f"{name} was {_brief(before.get(name, 'absent'))} and is now {_brief(now.get(name, 'absent'))}"
            f" ({'may not change' if name in fixed else 'may change'})"
            for name in changed
        ]
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        values = ", ".join(_brief(now.get(name, "absent")) for name in fixed)
        problem = f"the run to resume has other settings: {'; '.join(told)}"
        free = ", ".join(sorted(changeable)) or "nothing"
        raise UserError(
            flags, values, problem, f"leave these out or start a new run; what may change: {free}"
        )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _flat(config: Json, prefix: str = "") -> dict[str, Any]:
    """Dotted names to values, the values as JSON would give them back."""
    flat = {}
    for name, value in parse_json(json.dumps(config)).items():
        nested = isinstance(value, dict) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
