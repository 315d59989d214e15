"""What the reports of all experiments say: which run and command made them, and titles in words."""

import shlex
import sys
from pathlib import Path


def directory(path: Path) -> str:
    """The run's directory, from the working directory where it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def command() -> str:
    """The command that this program was started with, as one would type it again."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name.removesuffix(".__main__") if spec else ""
    program = ["python", "-m", name] if name.startswith("experiments") else [Path(sys.argv[0]).name]
    return shlex.join([*program, *sys.argv[1:]])


def titled(models: str, data: str) -> str:
    """Of a page: what was trained and on what, in words."""
    return f"{models} on {data}"


def of_file(what: str, path: Path | None) -> str:
    """Data of the user's own, in words: "events of listening.csv"."""
    return what if path is None else f"{what} of {path.name or path}"
