"""Session logs: reading, order, filters, the split by time against the prepared RSC15 sample, and numbering."""

import numpy as np
import pytest

from tests.train.data.session_logs import log_of
from train.data.sessions import (
    DAY,
    SessionLog,
    filter_log,
    in_order,
    number_items,
    read_log,
    split_by_time,
    without_repeats,
)
from train.data.text_tables import Columns
from train.errors import UserError

COLUMNS = Columns("SessionId", "ItemId", "", "Time")


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_text_with_named_columns(tmp_path, delimiter):
    rows = [
        ("Time", "ItemId", "x", "SessionId"),
        ("20.5", "b", "", "2"),
        ("10", "a", "", "1"),
        ("11", "b", "", "1"),
    ]
    path = write(tmp_path / "log.txt", "\n".join(delimiter.join(row) for row in rows))
    log, counts = read_log("csv", path, COLUMNS)
    np.testing.assert_array_equal(log.time, [20.5, 10, 11])
    np.testing.assert_array_equal(log.item, ["b", "a", "b"])
    assert log.session[1] == log.session[2] != log.session[0] and counts["events read"] == 3


def test_whole_numbers_stay_numbers_and_npz_has_four_columns(tmp_path):
    rows = np.array([[7, 30, 1, 100], [7, 4, 1, 101], [9, 30, 1, 102]])
    np.savez(tmp_path / "log.npz", train_full=rows, pairs=rows[:, :2])
    log, _ = read_log("npz", tmp_path / "log.npz", COLUMNS, "train_full")
    np.testing.assert_array_equal(log.item, [30, 4, 30])
    assert log.item.dtype.kind == "i"
    np.testing.assert_array_equal(log.time, [100, 101, 102])
    with pytest.raises(UserError, match="without a time"):
        read_log("npz", tmp_path / "log.npz", COLUMNS, "pairs")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Session,ItemId,Time\n1,2,3\n", ("sessions by --data.session-column", "SessionId", "log.csv")),
        ("SessionId,Item,Time\n1,2,3\n", ("items by --data.item-column", "ItemId")),
        ("SessionId,ItemId,Date\n1,2,3\n", ("times by --data.time-column", "Time", "--data.layout")),
        ("1,2014-04-07T10:51:09.277Z,3,0\n", ("first line is not a header", "--data.layout yoochoose")),
        ("SessionId,ItemId,Time\n1,2,07/04/2014\n", ("nor is any other", "2014-04-07T10:51:09Z")),
        ("SessionId,ItemId,Time\n1,2,3\n1,2,2014-04-07\n", ("line 3", "as those before it are")),
        ("SessionId,ItemId,Time\n1,2,2014-04-07\n1,2,3\n", ("line 3", "'3'", "mend or remove")),
        ("SessionId,ItemId,Time\n1,2,2014-04-31\n1,2,2014-04-30\n", ("line 2", "2014-04-31")),
        ("SessionId,ItemId,Time\n1,2,20140407\n1,2,20140408\n", ("look like days", "seconds")),
        ("SessionId,ItemId,Time\n1,2,0\n1,2,15552000000\n1,2,3\n", ("years", "in seconds")),
        ("SessionId,ItemId,Time\n1,2,1e25\n", ("log.csv", "nanoseconds")),
        ("SessionId,ItemId,Time\n1,2,yesterday\n", ("log.csv", "yesterday")),
        ("SessionId,ItemId,Time\n1,2,nan\n", ("log.csv", "finite")),
        ("SessionId,ItemId,Time\n", ("log.csv", "no event")),
        ("SessionId,ItemId,Time\n1,2\n", ("log.csv", "fields")),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path, text, words):
    with pytest.raises(UserError) as error:
        read_log("csv", write(tmp_path / "log.csv", text), COLUMNS)
    for word in words:
        assert word in str(error.value)


PUBLISHED = {
    "yoochoose": "7,2014-04-07T10:51:09.277Z,214536502,0\n7,2014-04-07T10:54:09.868Z,214536500,S\n",
    "diginetica": "sessionId;userId;itemId;timeframe;eventdate\n"
    "7;NA;214536502;39069277;2014-04-07\n7;NA;214536500;39249868;2014-04-07\n",
}
PUBLISHED["diginetica, newer"] = PUBLISHED["diginetica"].replace(
    "sessionId;userId;itemId", "session_id;x;item_id"
)
PUBLISHED["diginetica, dates without hyphens"] = PUBLISHED["diginetica"].replace("2014-04-07", "20140407")
DIGINETICA = "session_id;item_id;timeframe;eventdate\n1;2;{};{}\n"
WANTED = [1396867869.277, 1396868049.868]


@pytest.mark.parametrize("form", PUBLISHED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_logs_as_they_were_published(form, end, tmp_path):
    (tmp_path / "log.dat").write_bytes(PUBLISHED[form].replace("\n", end).encode())
    log, counts = read_log("csv", tmp_path / "log.dat", COLUMNS, layout=form.split(",")[0])
    np.testing.assert_allclose(log.time, WANTED, rtol=0, atol=1e-3)
    np.testing.assert_array_equal(log.item, [214536502, 214536500])
    assert log.session[0] == log.session[1] and counts == {
        "events read": 2,
        "events without session or item, left out": 0,
    }


@pytest.mark.parametrize(
    ("layout", "text", "words"),
    [
        (
            "yoochoose",
            PUBLISHED["diginetica"],
            ("first line is a header (sessionId,", "leave out --data.layout"),
        ),
        (
            "yoochoose",
            "SessionId,Timestamp,ItemId,Category\n" + PUBLISHED["yoochoose"],
            ("is a header (SessionId",),
        ),
        (
            "yoochoose",
            "SessionId,ItemId,Time\n1,2,2014-04-07T10:51:09Z\n",
            ("Time)", "--data.session-column"),
        ),
        ("yoochoose", "1,2014-04-07T10:51:09.277Z,214536502\n", ("row 1 has 3 fields, not 4",)),
        ("yoochoose", "1,2014-04-07T10:51:09.277Z,214536502,12462,1\n", ("row 1 has 5 fields, not 4",)),
        ("diginetica", PUBLISHED["yoochoose"], ("session_id", "--data.layout yoochoose")),
        ("diginetica", "session_id;item_id;timeframe\n1;2;3\n", ("no column 'eventdate'",)),
        ("diginetica", "session_id;item_id;timeframe;eventdate\n1;2;x;2016-05-09\n", ("'timeframe' 'x'",)),
        ("diginetica", "session_id;item_id;timeframe;eventdate\n1;2;3;May 9\n", ("'eventdate' 'May 9'",)),
        (
            "diginetica",
            DIGINETICA.format(3, 20161309),
            ("'20161309'", "a date such as 2016-05-09 or 20160509"),
        ),
        ("diginetica", DIGINETICA.format(3, 1462752000), ("'1462752000'", "a date such as")),
        ("diginetica", DIGINETICA.format(1462752000000, 20160509), ("'1462752000000'", "at most ten days")),
        (
            "diginetica",
            DIGINETICA.format("2016-05-09", "2016-05-09"),
            ("'timeframe' '2016-05-09'", "milliseconds"),
        ),
        ("diginetica", DIGINETICA.format("nan", "2016-05-09"), ("'timeframe' 'nan'",)),
    ],
)
def test_a_log_of_another_layout_is_one_clear_error(layout, text, words, tmp_path):
    with pytest.raises(UserError) as error:
        read_log("csv", write(tmp_path / "log.csv", text), COLUMNS, layout=layout, field="--data.test")
    for word in ("--data.test = ", *words):
        assert word in str(error.value)


def test_smaller_units_are_converted_counted_and_said(tmp_path, caplog):
    rows = "SessionId,ItemId,Time\n1,2,1396867869277\n1,3,1396868049868\n"
    log, counts = read_log("csv", write(tmp_path / "log.csv", rows), COLUMNS)
    np.testing.assert_allclose(log.time, WANTED, rtol=0, atol=1e-3)
    assert counts["times in milliseconds, converted"] == 2
    assert caplog.messages == [
        f"--data.path {tmp_path / 'log.csv'}: its times are in milliseconds, converted to seconds"
    ]
    np.savez(tmp_path / "log.npz", rows=np.array([[1, 2, 0, 1396867869277000], [1, 3, 0, 1396868049868000]]))
    log, counts = read_log("npz", tmp_path / "log.npz", COLUMNS, "rows")
    np.testing.assert_allclose(log.time, WANTED, rtol=0, atol=1e-3)
    assert counts["times in microseconds, converted"] == 2


def test_events_without_an_identifier_are_left_out_and_counted(tmp_path):
    path = write(tmp_path / "log.csv", "SessionId,ItemId,Time\n1,2,3\n,2,3\n1,,4\n")
    log, counts = read_log("csv", path, COLUMNS)
    assert len(log.time) == 1 and counts["events without session or item, left out"] == 2


def test_order_is_mended_and_counted():
    log, counts = in_order(log_of("2b5 1a3 1c1 1b3 2b5 1d9"))
    assert "".join(log.item) == "cabdbb"
    np.testing.assert_array_equal(log.session, [1, 1, 1, 1, 2, 2])
    # c is earlier than a; a and b at the same second stay in the order of the file; b of session 2 comes twice.
    assert list(counts.values()) == [1, 1]


def test_filters_act_once_each():
    """Session 3 is short; then c is rare; then session 2 is left with one event, and b with one, which stays."""
    log, counts = filter_log(log_of("1a1 1a2 1b3 2b4 2c5 3a6"), min_session=2, min_item=2)
    assert "".join(log.item) == "aab"
    assert list(counts.values()) == [1, 1, 1]
    left, _ = filter_log(log_of("1a1"), 2, 2)
    assert not len(left.time)


def test_repeats_are_of_the_same_session():
    log, counts = without_repeats(log_of("1a1 1a2 1b3 1a4 2a5 2a6"))
    assert "".join(log.item) == "abaa" and list(counts.values()) == [2]


def test_the_last_day_is_of_sessions_by_their_last_event():
    """Session 2 begins before the border and ends behind it; an end at the very border counts as the last day."""
    log = SessionLog(np.array([1, 1, 2, 2, 3, 3]), np.arange(6), np.array([0, 1, 2, DAY + 9, 3, 9.0]))
    train, test = split_by_time(log)
    np.testing.assert_array_equal(train.session, [1, 1])
    np.testing.assert_array_equal(test.session, [2, 2, 3, 3])


def test_numbers_are_by_first_appearance_and_unseen_items_are_dropped():
    data = number_items(log_of("1c1 1a2 2a3 2b4"), log_of("5b1 5z2 5c3 6z4 6a5 7a1 7b2"))
    assert list(data.item_ids) == ["c", "a", "b"]
    np.testing.assert_array_equal(data.train.items, [0, 1, 1, 2])
    np.testing.assert_array_equal(data.train.starts, [0, 2, 4])
    np.testing.assert_array_equal(data.support, [1, 2, 1])
    np.testing.assert_array_equal(data.test.items, [2, 0, 1, 2])
    np.testing.assert_array_equal(data.test.positions, [0, 1, 0, 1])
    assert (data.unseen, data.short, len(data.test)) == (2, 1, 2)
    nothing = number_items(log_of("1a1 1b2"), log_of("5z1 5z2"))
    assert len(nothing.test) == 0 and nothing.unseen == 2


def test_identifiers_of_two_kinds_are_compared_as_text():
    numbers = SessionLog(np.array([1, 1, 1]), np.array([30, 4, 30]), np.arange(3.0))
    text = SessionLog(np.array([2, 2, 2]), np.array(["4", "30", "four"]), np.arange(3.0))
    for train, test in ((numbers, text), (text, numbers)):
        data = number_items(train, test)
        assert list(data.item_ids) == list(dict.fromkeys(map(str, train.item)))
        assert [data.item_ids[i] for i in data.test.items] == [s for s in map(str, test.item) if s != "four"]
        assert data.unseen == int(test is text)


def test_prepared_sample_of_rsc15(shared):
    """Sizes of the prepared files, and the split that they were made by."""
    path = shared / "data" / "recsys" / "rsc15_100k.npz"
    logs = {
        name: in_order(read_log("npz", path, COLUMNS, name)[0])[0]
        for name in ("train_full", "test", "train_tr", "train_valid")
    }
    data = number_items(logs["train_full"], logs["test"])
    assert (len(data.train.items), len(data.train), len(data.item_ids)) == (70_278, 17_794, 2_933)
    assert (len(data.test.items), len(data.test), data.unseen) == (13_568, 3_416, 0)
    assert len(data.test.items) - len(data.test) == 10_152
    train, rest = split_by_time(logs["train_full"])
    for ours, prepared in zip(train, logs["train_tr"], strict=True):
        if ours.dtype == np.float64:
            np.testing.assert_array_equal(ours, prepared)
    part = number_items(train, rest)
    prepared = number_items(logs["train_tr"], logs["train_valid"])
    assert (len(part.train), len(part.test), len(part.test.items)) == (13_629, 4_084, 16_539)
    np.testing.assert_array_equal(part.train.items, prepared.train.items)
    np.testing.assert_array_equal(part.test.items, prepared.test.items)
