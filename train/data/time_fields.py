"""Times in tables of text: numbers, or dates and times in the form of ISO 8601; and the unit of numbers."""

import datetime
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

FORMS = "a number or a time such as 2014-04-07T10:51:09Z"
DATES = "a date such as 2016-05-09 or 20160509"
MILLISECONDS = "a number of milliseconds of at most ten days"
_TEN_DAYS = 864e6
_DAY_NUMBERS = (19_000_101, 21_001_231)
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_LATEST = 2.0**33
"""Seconds since 1970 of the year 2242; what is later is in a smaller unit."""
_EARLY = 1e8
"""Seconds since 1970 of the year 1973: in a log of our century, a time in another unit, or not a time."""
_LONGEST = 100 * 366 * 86_400.0


def seconds_of_iso(text: str) -> float:
    """Seconds since 1970 of a date or a date with a time; without a zone it is in UTC.

    Raises:
      ValueError: it is neither.
    """
    text = text.strip()
    if len(text) > 40 or "-" not in text:  # 20140407 is a number
        raise ValueError("no time")
    moment = datetime.datetime.fromisoformat(text.removesuffix(" UTC"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    if abs(moment.timestamp()) > _LATEST:
        raise ValueError("no time of our centuries")
    return moment.timestamp()


def number(text: str) -> float:
    """As files of numbers have it: Python's own form would also take 1_0 and digits of other scripts.

    Raises:
      ValueError: it is neither.
    """
    if "_" in text or not text.isascii():
        raise ValueError("no number")
    return float(text)


def seconds_of_date(text: str) -> float:
    """Seconds since 1970 of the beginning of a date, with hyphens or without.

    Raises:
      ValueError: it is none.
    """
    text = text.strip()
    if len(text) == 8 and text.isascii() and text.isdecimal():
        return seconds_of_iso(f"{text[:4]}-{text[4:6]}-{text[6:]}")
    return seconds_of_iso(text)


def milliseconds_beside_date(text: str) -> float:
    """Milliseconds from an instant of a day that another column has.

    Raises:
      ValueError: it is not a number, or so large that it is counted from another start, such as 1970.
    """
    value = number(text)
    if not abs(value) <= _TEN_DAYS:
        raise ValueError("no time beside a date")
    return value


class TimeColumn:
    """Reads one column, part by part.

    Args:
      read: of one field; without it all are numbers, or all are ISO times, as the first is.
      forms: what the fields may be, for messages.
    """

    def __init__(self, read: Callable[[str], float] | None = None, forms: str = FORMS):
        self._read, self.forms = read, forms

    def read(self, fields: Sequence[str]) -> Float[np.ndarray, " n"]:
        """The values of a part.

        Raises:
          ValueError: one of them is not a time.
        """
        if self._read is None:
            self._read = seconds_of_iso if is_iso(fields[0]) else number
        return np.fromiter(map(self._read, fields), np.float64, len(fields))

    def reads(self, field: str) -> bool:
        """Whether a field is of the column's form."""
        try:
            (self._read or number)(field)
        except (ValueError, OverflowError):
            return False
        return True


def is_iso(field: str) -> bool:
    """Whether a field is a date or a time."""
    try:
        seconds_of_iso(field)
    except (ValueError, OverflowError):
        return False
    return True


def to_seconds(times: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], str]:
    """Times since 1970, or since any start, as seconds, and the unit that they were in.

    The unit is told by size: as seconds, milliseconds since 1970 are later than the year 2242. Small numbers,
    counted from another start, are seconds.

    Raises:
      ValueError: they can't be seconds, milliseconds, microseconds or nanoseconds of one log; the message says why.
    """
    latest = float(np.median(np.abs(times)))
    unit, scale = "seconds", 1.0
    for smaller, per_second in _UNITS:
        if latest / scale > _LATEST:
            unit, scale = smaller, per_second
    seconds = times / scale
    low, high = float(seconds.min()), float(seconds.max())
    if latest / scale > _LATEST or high - low > _LONGEST:
        years = (high - low) / (365.25 * 86_400)
        raise ValueError(f"are {times.min():.12g} to {times.max():.12g}: {years:,.0f} years if in {unit}")
    early = np.abs(seconds) < _EARLY
    if latest / scale > 10 * _EARLY and early.any():
        row = int(early.argmax())
        raise ValueError(f"are {unit} since 1970, most of them, but not {times[row]:.12g}")
    if _DAY_NUMBERS[0] <= low and high <= _DAY_NUMBERS[1] and _are_days(times):
        raise ValueError(f"are {low:.0f} to {high:.0f}, which look like days (year, month, day), not seconds")
    return seconds, unit


def _are_days(times: Float[np.ndarray, " n"]) -> bool:
    """Whether each number is a date written without hyphens."""
    some = np.unique(times)[:10_000]
    month, day = (some // 100) % 100, some % 100
    whole = (some == np.floor(some)) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(whole.all()) and math.isfinite(some[0])
