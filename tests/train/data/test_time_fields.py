"""Times as text in the forms of ISO 8601, and the units of numbers."""

import numpy as np
import pytest

from train.data.time_fields import (
    TimeColumn,
    is_iso,
    milliseconds_beside_date,
    seconds_of_date,
    seconds_of_iso,
    to_seconds,
)

TIME = 1396867869.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2014-04-07T10:51:09Z", TIME),
        ("2014-04-07T10:51:09.277Z", TIME + 0.277),
        (" 2014-04-07 10:51:09 ", TIME),
        ("2014-04-07 10:51:09 UTC", TIME),
        ("2014-04-07T12:51:09+02:00", TIME),
        ("2014-04-07", 1396828800.0),
        ("1969-12-31", -86400.0),
    ],
)
def test_iso(text, seconds):
    assert seconds_of_iso(text) == pytest.approx(seconds, abs=1e-6) and is_iso(text)


@pytest.mark.parametrize(
    "text",
    ["", "x", "20140407", "1e-5", "-5", "2014-02-30", "07-04-2014", "9999-12-31", "0001-01-01", "-" * 10**6],
)
def test_what_is_no_iso_time(text):
    assert not is_iso(text)


@pytest.mark.parametrize("text", ["2014-04-07", "20140407", " 20140407 ", "2014-04-07T00:00:00Z"])
def test_dates(text):
    assert seconds_of_date(text) == 1396828800.0


@pytest.mark.parametrize("text", ["20141307", "1396828800", "2014047", "x", ""])
def test_what_is_no_date(text):
    with pytest.raises(ValueError, match=r"."):
        seconds_of_date(text)


def test_what_stands_beside_a_date_is_within_days_of_it():
    assert milliseconds_beside_date("39069277") == 39069277.0
    for text in ("1396867869277", "-1e10", "nan", "x"):
        with pytest.raises(ValueError, match=r"."):
            milliseconds_beside_date(text)


def test_a_column_is_of_one_form():
    numbers, times = TimeColumn(), TimeColumn()
    np.testing.assert_array_equal(numbers.read(["1", "2.5"]), [1, 2.5])
    np.testing.assert_array_equal(times.read(["1970-01-02"]), [86_400])
    for column, other in ((numbers, "1970-01-02"), (times, "1"), (numbers, "1_0"), (TimeColumn(), "\u0661")):
        assert not column.reads(other)
        with pytest.raises(ValueError, match=r"."):
            column.read([other])


@pytest.mark.parametrize(
    ("scale", "unit"), [(1, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")]
)
def test_units_are_told_by_size(scale, unit):
    seconds = np.array([TIME, TIME + 86_400])
    found, name = to_seconds(seconds * scale)
    assert name == unit
    np.testing.assert_allclose(found, seconds, rtol=1e-12)


@pytest.mark.parametrize("times", [[0.0, 5.0], [-3.0], [86_400.0 * 200], [0.0, 0.0]])
def test_times_from_another_start_are_seconds(times):
    found, unit = to_seconds(np.array(times))
    assert unit == "seconds" and found.tolist() == times


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([20140407.0, 20140408.0], "look like days"),
        ([0.0, 1.5e10], "years if in seconds"),
        ([TIME, TIME, TIME * 1e3], "years if in seconds"),
        ([1e30], "nanoseconds"),
        ([TIME, TIME * 1e3, TIME * 1e3], "most of them, but not"),
        ([TIME, 0.0, TIME], "are seconds since 1970, most of them, but not 0"),
    ],
)
def test_impossible_times(times, message):
    with pytest.raises(ValueError, match=message):
        to_seconds(np.array(times))
