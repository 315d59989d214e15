"""Tables at the limits of Python's parser, in any encoding and with any line ends; every reader of events shares it."""

import pytest

from train.data.ratings import read_csv, read_movielens
from train.data.sessions import read_log
from train.data.table_files import TableFile, header_of, rows, separator_of
from train.data.text_tables import Columns
from train.errors import UserError

READERS = {
    "csv": lambda path: read_csv(path, Columns("userId", "movieId")),
    "movielens": read_movielens,
    "sessions": lambda path: read_log("csv", path, Columns("userId", "movieId", "", "timestamp"))[0],
}
HEADER = b"userId,movieId,rating,timestamp\n"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + b"7" * 5000 + b",1,5,9\n", r"line 2 has in column 'userId' an id of 5,000 characters"),
        (HEADER + b"1,2,5,9\n1," + b"7" * 5000 + b",5,9\n", r"line 3 has in column 'movieId' an id of 5,0"),
        (HEADER + b"1,2,5,9\nx,2," + b"5" * 200_000 + b",9\n", "line 3 has more than .* in column 'rating'"),
        (HEADER[:-1] + b"," + b"h" * 200_000 + b"\n1,2,3,4,5\n", "line 1 has more than 131,072 characters"),
        (b"x" * 1_000_001, "no line end in 1,000,000 characters"),
        (HEADER + b'a,"2,5,9\n', "line 2: a quote that opens there is not closed"),
        (HEADER + b'a,2,5,9\n1,"2,5,9\n' + b"1,2,5,9\n" * 40_000, "line 3 has a field of more than 131,072"),
        (HEADER + b'1,"2\n1,2,5,9\n1,2",5,9\n', "line 2 has in column 'movieId' an id with a line end"),
        (HEADER + b"a\0b,2,5,9\n", "NUL bytes"),
        (HEADER + b"1,2,5,9\n" * 500 + b"a\0b,2,5,9\n", "line 502 .* control character"),
        (HEADER + b"1,\x1b[31m2,5,9\n", "line 2 has in column 'movieId' an id with a control character"),
        (HEADER + b"1,caf\xe9,5,9\n", "line 2 is not UTF-8; save it as UTF-8"),
        (HEADER + b"1,2,5,9\n" * 9_000 + b"1,caf\xe9,5,9\n", "line 9002 is not UTF-8"),
        (HEADER.decode().encode("utf-16"), "is text in UTF-16"),
        (HEADER.decode().encode("utf-32"), "is text in UTF-32"),
        (HEADER.decode().encode("utf-16-le"), "an encoding other than UTF-8"),
        (b"PK\x03\x04 and so on", "is a zip archive or a spreadsheet, not text"),
        (b"\x1f\x8b and so on", r"is compressed \(gzip\), not text"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (HEADER, "holds no event"),
        (HEADER + b"\n\n,,,\n", "holds no event|'', which is not"),
        (HEADER + b"1,2,5\n", "row 1 has 3 fields, not 4"),
        (HEADER + b"\n\n1,2,5,9,9\n", r"row 1 has 5 fields, not 4: .* \(line 4\)"),
        (
            b"userId,movieId,movieId,timestamp,rating\n1,2,3,4,5\n",
            "has 2 columns 'movieId'; rename all but one",
        ),
        (b"userId,movieId,a,timestamp,rating\n1,,3,4,5\n", "holds no event"),
    ],
)
def test_a_bad_table_is_one_clear_error_in_every_reader(reader, content, message, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        READERS[reader](path)
    assert str(error.value).startswith(f"--data.path = {path}: ")
    assert len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"1,2,5,9\n1,3,4,8\n",
        b"\xef\xbb\xbf" + HEADER + b"1,2,5,9\n1,3,4,8",
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b"\n", b"\r\n"),
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b"\n", b"\r"),
        b"\n\n" + HEADER + b"\n1,2,5,9\n\n1,3,4,8\n\n",
        b'"userId","movieId","rating","timestamp"\n"1","2","5","9"\n"1", "3" ,"4","8"\n',
        b',userId,movieId,rating,timestamp,"a, ""title"""\n0,1,2,5,9,x\n1,1,3,4,8,"two\nlines, ""quoted"""\n',
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b",", b";"),
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b",", b"\t"),
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b",", b"|"),
        (HEADER + b"1,2,5,9\n1,3,4,8\n").replace(b",", b"::"),
    ],
)
def test_forms_of_the_same_table(reader, content, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    found = READERS[reader](path)
    if reader == "sessions":
        assert found.session.tolist() == [0, 0] and found.item.tolist() == [2, 3]
        assert found.time.tolist() == [9, 8]
    else:
        assert found.user.tolist() == [0, 0] and found.item_ids == ["2", "3"]
        assert found.rating is None or found.rating.tolist() == [5, 4]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", ["", "none", "a\0b"])
def test_what_is_no_file(reader, path, tmp_path):
    with pytest.raises(
        UserError, match=r"^--data.path = .*(folder|no such file|holds none of|can't be read)"
    ):
        READERS[reader](tmp_path / path)


@pytest.mark.parametrize(
    ("head", "separator"),
    [("a,b", ","), ('"x,y,z";b', ";"), ("a\tb, c\td", "\t"), ("a::b::c", "::"), ("a|b", "|"), ("a", ",")],
)
def test_separators(head, separator):
    assert separator_of(head) == separator


def test_rows_know_their_lines_and_a_header_may_have_several(tmp_path):
    (tmp_path / "a.csv").write_text('\n"a\nb",c\n1,"x\ny"\n\n2,3')
    file = TableFile(tmp_path / "a.csv")
    assert header_of(file) == (("a\nb", "c"), ",", 3)
    assert [(line, fields) for line, fields in rows(file, file.lines(), ",")][1:] == [
        (4, ["1", "x\ny"]),
        (7, ["2", "3"]),
    ]


def test_quotes_inside_a_field_are_text(tmp_path):
    """As in names of artists, which no program quotes."""
    (tmp_path / "a.tsv").write_text('user\titem\n1\t"Weird Al" Yankovic\n2\tThe "Five"\n')
    assert read_csv(tmp_path / "a.tsv", Columns()).item_ids == ['The "Five"', "Weird Al Yankovic"]
