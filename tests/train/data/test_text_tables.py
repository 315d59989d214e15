"""The two ways to read a table of text; what is wrong with files is in test_ratings."""

import numpy as np
import pytest

from train.data import text_tables
from train.data.ratings import read_csv
from train.data.table_files import TableFile
from train.data.text_tables import Columns, Header, read_text
from train.errors import UserError

LINES = ("10::7::5::30", "2::7::3.5::10", "10::3::4::20")


def table(path):
    path.write_text("\n".join(LINES) + "\n")
    return text_tables._Table(TableFile(path), Columns(*"abcd"), Header(tuple("abcd"), "::"))


def test_both_ways_agree(tmp_path):
    given = table(tmp_path / "ratings.dat")
    fast, slow = text_tables._read_whole_numbers(given), text_tables._read_any_ids(given)
    assert fast is not None
    for one, other in ((fast.user, slow.user), (fast.item, slow.item)):
        assert [one[1][code] for code in one[0]] == [other[1][code] for code in other[0]]
    np.testing.assert_array_equal(fast.rating, slow.rating)
    np.testing.assert_array_equal(fast.time, slow.time)


@pytest.mark.parametrize("columns", [Columns("item", "item"), Columns(rating="user"), Columns(time="item")])
def test_one_column_is_not_two_things(tmp_path, columns):
    (tmp_path / "a.csv").write_text("user,item\n1,2\n")
    with pytest.raises(UserError, match=r"column '(user|item)' can't be that of (user|item)s and of"):
        read_csv(tmp_path / "a.csv", columns)


def test_blocks_are_put_together(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "ROWS_PER_BLOCK", 2)
    given = table(tmp_path / "ratings.dat")
    for read in (text_tables._read_whole_numbers, text_tables._read_any_ids):
        events = read(given)
        assert events is not None and [events.user[1][code] for code in events.user[0]] == ["10", "2", "10"]
        np.testing.assert_array_equal(events.time, [30, 10, 20])


def test_ids_too_large_for_a_float_stay_apart(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,item\n9007199254740993,1\n9007199254740992,1\n")
    user, _, rating, time = read_text(TableFile(path), Columns())
    assert [user[1][code] for code in user[0]] == ["9007199254740993", "9007199254740992"]
    assert rating is None and time is None


@pytest.mark.parametrize("other", ["007", "+7", "7.0", "7e0", "-0"])
def test_ids_stay_the_text_they_are(other, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(f"user,title,item\n7,0.5,1\n{other},0.5,0001048791\n 7,+1,{other}\n")
    events = read_csv(path, Columns())
    assert [events.user_ids[code] for code in events.user] == ["7", other, "7"]
    assert sorted(events.item_ids) == sorted(["1", "0001048791", other])


def test_numbers_of_any_form_beside_whole_ids_are_read_at_once(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text('07.5,"1", -2\r\n1e3,0,30\r\n')
    columns = Columns("user", "item", "rating")
    events = text_tables._read_whole_numbers(
        text_tables._Table(TableFile(path), columns, Header(("rating", "user", "item"), ","))
    )
    assert events is not None and events.user[1] == ["0", "1"] and events.item[1] == ["-2", "30"]
    np.testing.assert_array_equal(events.rating, [7.5, 1000])
