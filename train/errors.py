"""The one exception for mistakes that the person who started the program can mend."""

LONGEST = 400
"""Characters of a value or problem in a message: files can hold texts of any length."""


class UserError(Exception):
    """A mistake in a setting, a file or a machine that the user can mend.

    The commands print it as one line, without a traceback, and exit with code 2.

    Args:
      field: what is wrong, as the user wrote it: a flag (`--train.batch-size`) or a path.
      value: the value that was given.
      problem: why it can't be used.
      remedy: what to do instead.
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str):
        problem = _shortened(problem)
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy
        super().__init__(f"{field} = {_shortened(value)}: {problem}; {remedy}")


def _shortened(text: object) -> str:
    whole = str(text)
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 3]}..."


def shorten(text: object, length: int = 60) -> str:
    """What a file says, cut to what a message can hold, on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


def first_line(error: BaseException) -> str:
    """What an exception says, for a message."""
    if isinstance(error, KeyError) and error.args:
        return shorten(error.args[0], 200)
    return shorten(getattr(error, "strerror", None) or error, 200) or type(error).__name__
