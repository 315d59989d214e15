"""How far a file may inflate: a small one that claims much is refused before memory is, in every reader of arrays."""

from collections.abc import Sequence

from train.errors import UserError, shorten

FLAG = "--max-inflated-mb"
INFLATION = 100
"""How many times its own size a file may always inflate to."""
DEFAULT_MEGABYTES = 256
HELP = (
    f"{FLAG} N (of every command): to how many million bytes a small file may inflate ({DEFAULT_MEGABYTES})."
)


class _Limit:
    """The size up to which a file may inflate more than `INFLATION` times; the command line sets it once."""

    megabytes = DEFAULT_MEGABYTES


class TooLargeError(ValueError):
    """A file that inflates beyond the limit.

    Attributes:
      remedy: how to allow it.
    """

    def __init__(self, problem: str, remedy: str):
        super().__init__(problem)
        self.remedy = remedy


def check_inflation(size: int, total: int, name: str) -> None:
    """Raises TooLargeError where a file of `size` bytes comes to `total` with the array, beyond both limits."""
    if total > INFLATION * size and total > _Limit.megabytes * 10**6:
        problem = f"its {size:,} bytes inflate to {total:,} with array {shorten(name)}"
        raise TooLargeError(problem, f"if it is meant so, give {FLAG} {-(-total // 10**6)}")


def allow_inflated(megabytes: int) -> None:
    """Sets how far a small file may inflate, for the whole program.

    Raises:
      UserError: the number makes no sense.
    """
    if megabytes < 1:
        raise UserError(FLAG, megabytes, "is too small", "give at least 1")
    _Limit.megabytes = megabytes


def without_limit(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command less the flag of the limit, which is set.

    Raises:
      UserError: its value is not a whole number above 0.
    """
    rest, given = [], iter(arguments)
    for argument in given:
        flag, equals, value = argument.partition("=")
        if flag.replace("_", "-") != FLAG:
            rest.append(argument)
            continue
        value = value if equals else next(given, "")
        if not (value.isascii() and value.isdecimal() and len(value) < 10):
            raise UserError(FLAG, shorten(value), "is not a whole number", "give millions of bytes")
        allow_inflated(int(value))
    return rest
