"""Every reader gives the same events, and names what is wrong with a file."""

import re
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from train.data.ratings import Columns, positives, read_csv, read_movielens, read_npz, read_parquet, read_tfds
from train.errors import UserError

ROWS = [(10, 7, 5.0, 30), (2, 7, 3.5, 10), (10, 3, 4.0, 20), (2, 100, 4.5, 5), (10, 3, 5.0, 25)]
NAMED = Columns("who", "what", "stars", "when")


def text(separator, header=""):
    return header + "".join(f"{separator.join(f'{value:g}' for value in row)}\n" for row in ROWS)


def rows_of(events):
    columns = [[events.user_ids[u] for u in events.user], [events.item_ids[i] for i in events.item]]
    columns += [column.tolist() for column in (events.rating, events.time) if column is not None]
    return list(zip(*columns, strict=True))


WANTED = [(str(user), str(item), rating, float(time)) for user, item, rating, time in ROWS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ratings.csv", text(",", "userId,movieId,rating,timestamp\n")),
        ("ratings.csv", text(",", "\ufeffuserId,movieId,rating,timestamp\n").replace("\n", "\r\n")),
        ("ratings.dat", text("::")),
        ("u.data", text("\t")),
        ("ratings.csv", text(",", "userId,movieId,rating,timestamp\n").replace("5,30", '"5","30"')),
        ("ratings.csv", text(";", "user_id;movie_id;rating;timestamp\n")),
        ("ratings.csv", text("\t", "USERID\tMovieID\tRating\tTimestamp\n")),
        ("ratings.dat", text("::", "UserID::MovieID::Rating::Timestamp\n")),
    ],
)
def test_movielens(name, content, tmp_path):
    (tmp_path / name).write_text(content, newline="")
    for path in (tmp_path, tmp_path / name):
        events = read_movielens(path)
        assert rows_of(events) == WANTED
        # Numbers in their order, not in that of text.
        assert events.user_ids == ["2", "10"] and events.item_ids == ["3", "7", "100"]
        assert events.counts.read == 5 and events.user.dtype == np.int32


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ratings.csv", "userId,movieId,rating\n10,7,5\n2,7,3.5\n"),
        ("ratings.csv", ',"rating","movie_id","user_id"\n0,5,"7",10\n1,3.5,"7",2\n'),
        ("u.data", "10\t7\t5\n2\t7\t3.5\n"),
        ("ratings.dat", "10::7::5\n2::7::3.5\n"),
    ],
)
def test_movielens_without_time(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    events = read_movielens(tmp_path)
    assert rows_of(events) == [row[:3] for row in WANTED[:2]] and events.time is None
    assert positives(events, 4.0).time is None


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_with_named_columns(separator, tmp_path):
    header = separator.join(("stars", "what", "title", "who", "when")) + "\n"
    lines = [separator.join((f"{r:g}", str(i), '"a ""b"""', str(u), str(t))) + "\n" for u, i, r, t in ROWS]
    (tmp_path / "events.csv").write_text(header + "\n".join(lines))  # with blank lines
    assert rows_of(read_csv(tmp_path / "events.csv", NAMED)) == WANTED
    without = read_csv(tmp_path / "events.csv", Columns("who", "what"))
    assert rows_of(without) == [row[:2] for row in WANTED] and without.rating is None and without.time is None


def test_ids_of_any_text(tmp_path):
    (tmp_path / "events.csv").write_text('user,item\nann,"x, y"\n bob,7\n,x\nann,\nann,é\n', encoding="utf-8")
    events = read_csv(tmp_path / "events.csv", Columns())
    assert rows_of(events) == [("ann", "x, y"), ("bob", "7"), ("ann", "é")]
    assert events.counts.read == 5 and events.counts.without_id == 2


def test_npz_and_parquet(tmp_path):
    rows = np.array([(u, i, round(r), t) for u, i, r, t in ROWS])
    np.savez(tmp_path / "events.npz", triples=rows, pairs=rows[:, :2])
    wanted = [(*row[:2], float(round(row[2])), row[3]) for row in WANTED]
    assert rows_of(read_npz(tmp_path / "events.npz")) == wanted
    assert read_npz(tmp_path / "events.npz", "pairs").rating is None
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    users, items, stars, times = zip(*ROWS, strict=True)
    table = {
        "who": [*map(str, users), None],
        "what": [*items, 3],
        "stars": [*stars, 1.0],
        "when": [*times, 4],
    }
    parquet.write_table(arrow.table(table), tmp_path / "events.parquet")
    events = read_parquet(tmp_path / "events.parquet", NAMED)
    assert rows_of(events) == WANTED and events.counts.without_id == 1
    with pytest.raises(UserError, match="no column 'clock', only"):
        read_parquet(tmp_path / "events.parquet", NAMED._replace(time="clock"))
    with pytest.raises(UserError, match="not a readable Parquet"):
        read_parquet(tmp_path / "events.npz", NAMED)


def test_parquet_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "events.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"'\.\[parquet\]'"):
        read_parquet(tmp_path / "events.parquet", NAMED)


def test_tfds(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="movielens/1m-ratings: is not prepared"):
        read_tfds(tmp_path)
    found = [
        {"user_id": str(u).encode(), "movie_id": str(i).encode(), "user_rating": r, "timestamp": t}
        for u, i, r, t in ROWS
    ]
    monkeypatch.setattr(tfds, "data_source", lambda *_, **__: found)
    assert rows_of(read_tfds(None)) == WANTED


def test_positives_are_counted_and_in_order(tmp_path):
    (tmp_path / "u.data").write_text(text("\t"))
    events = positives(read_movielens(tmp_path), 4.0)
    assert [
        (events.user_ids[u], events.item_ids[i]) for u, i in zip(events.user, events.item, strict=True)
    ] == [
        ("2", "100"),
        ("10", "3"),  # the first of two, at 20
        ("10", "7"),
    ]
    assert events.time is not None and events.time.tolist() == [5.0, 20.0, 30.0]
    counts = events.counts
    assert (counts.read, counts.below_rating, counts.duplicates, counts.out_of_order) == (5, 1, 1, 1)
    assert dict(counts.lines())["left out: later event of the same user and item"] == 1
    with pytest.raises(UserError, match="the highest is 5"):
        positives(read_movielens(tmp_path), 6.0)


def test_without_time_the_file_is_the_order(tmp_path):
    (tmp_path / "events.csv").write_text("user,item\nb,3\na,2\nb,1\nb,3\n")
    events = positives(read_csv(tmp_path / "events.csv", Columns()), 4.0)
    assert events.user.tolist() == [0, 1, 1] and events.item.tolist() == [1, 2, 0]
    assert events.counts.duplicates == 1 and events.counts.out_of_order == 0


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("u.data", "1\t2\t3\t4\n1\t2\t3\n", "row 2 has 3 fields, not 4"),
        ("u.data", "1\t2\t3\t4\n1\t2\t3\t4\t5\n", "row 2 has 5 fields, not 4"),
        ("u.data", "1\t2\t3\t4\n1\tx7\t3\t4\n", "the item 'x7', which is not a whole number"),
        ("u.data", "1\t2\t3\t4\n1.5\t2\t3\t4\n", "the user '1.5', which is not a whole number"),
        ("u.data", "1\t2\tgood\t4\n", "line 1 has in column 'rating' 'good', which is not a number"),
        ("u.data", "1\t2\t1_0\t4\n", "line 1 has in column 'rating' '1_0', which is not a number"),
        ("u.data", "1\t2\t\u0663\t4\n", "in column 'rating' '\u0663', which is not a number"),
        ("u.data", "1\t2\tnan\t4\n", "row 1 has a rating that is not finite"),
        ("u.data", "", "is empty"),
        ("ratings.csv", "1,2,3,4\n", "its first line is not a header (1, 2, 3, 4); write userId,movieId"),
        ("ratings.csv", "user,item,plays\n1,2,3\n", "has no column 'userId', only user, item, plays"),
        ("ratings.dat", "1::2::3::2014-04-07x\n", "'2014-04-07x', which is not a number or a time"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n", "holds no event"),
        (
            "ratings.csv",
            "userId,movieId,stars,timestamp\n1,2,3,4\n",
            "has no column 'rating', only userId, movieId, stars, timestamp; read it with --data.source csv",
        ),
    ],
)
def test_bad_movielens_files_are_one_clear_error(name, content, expected, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=re.escape(expected)) as error:
        read_movielens(tmp_path)
    assert name in str(error.value)


def test_other_bad_files(tmp_path):
    with pytest.raises(UserError, match="holds none of"):
        read_movielens(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_movielens(tmp_path / "u.data")
    (tmp_path / "events.csv").write_text("user,film\n1,2\n")
    with pytest.raises(
        UserError, match=r"events\.csv: has no column 'item', only user, film; .* items by --data.item-column"
    ):
        read_csv(tmp_path / "events.csv", Columns())
    with pytest.raises(UserError, match="users and items need a column each"):
        read_csv(tmp_path / "events.csv", Columns("", "film"))
    (tmp_path / "events.csv").write_bytes(b"user,item\n\xff\xfe,2\n")
    with pytest.raises(UserError, match="line 2 is not UTF-8"):
        read_csv(tmp_path / "events.csv", Columns())
    np.savez(tmp_path / "events.npz", triples=np.zeros((3, 2)))
    with pytest.raises(UserError, match="not integers"):
        read_npz(tmp_path / "events.npz")
    with pytest.raises(UserError, match=r"no array 'rows' \(it holds triples\)"):
        read_npz(tmp_path / "events.npz", "rows")
    with pytest.raises(UserError, match="not a readable npz"):
        read_npz(tmp_path / "events.csv")
    np.save(tmp_path / "array.npy", np.zeros((3, 2), int))
    with pytest.raises(UserError, match=r"array\.npy.*not a readable npz"):
        read_npz(tmp_path / "array.npy")


def test_parquet_ids_that_are_lists_are_one_clear_error(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"user": [[1], [2]], "item": [1, 2]}), tmp_path / "events.parquet")
    with pytest.raises(UserError, match=r"events\.parquet: column 'user' is list<.*can't be an id"):
        read_parquet(tmp_path / "events.parquet", Columns())
