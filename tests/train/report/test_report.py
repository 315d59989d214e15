"""The report is one whole page: everything inside, everything escaped."""

import base64
import dataclasses
import html.parser
import math
import re

import numpy as np
import pytest
from PIL import Image

from train.errors import UserError
from train.report.report import Picture, Report, Section, departures, flatten, write_report
from train.report.tables import Interval, Table

HOSTILE = "<script>alert('x')</script> & \"quotes\" $title ${head}"
VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Collects tags and texts, and fails when they don't nest."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


@dataclasses.dataclass(frozen=True)
class Train:
    steps: int = 1000
    rate: float = 1e-4


@dataclasses.dataclass(frozen=True)
class Config:
    train: Train = Train()
    seeds: int = 4


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "figures" / "a.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def page_of(tmp_path, report):
    return Page(write_report(tmp_path / "report.html", report).read_text("utf-8"))


def full_report(picture):
    rows = [(HOSTILE, Interval(0.42, 0.03, 4), math.nan), ("one", Interval(0.5, math.nan, 1), 0.25)]
    table = Table("Scores " + HOSTILE, ("score", HOSTILE, "VAE"), rows, note=HOSTILE, published=[0.4, None])
    section = Section(HOSTILE, [HOSTILE], [table], [Picture(picture, HOSTILE), Picture(picture, "again")])
    return Report(
        HOSTILE,
        [HOSTILE],
        dataclasses.asdict(Config()),
        dataclasses.asdict(Config(Train(100_000))),
        HOSTILE,
        {"device": HOSTILE},
        [HOSTILE],
        [section],
    )


def test_the_page_parses_and_holds_no_script_and_no_link_outside(tmp_path, picture):
    page = page_of(tmp_path, full_report(picture))
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    source = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"https?://|@import|url\(", source)


def test_links_inside_lead_somewhere(tmp_path, picture):
    tags = page_of(tmp_path, full_report(picture)).tags
    targets = {attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"}
    assert targets == {attributes["id"] for _, attributes in tags if "id" in attributes}


def test_hostile_text_is_shown_as_it_is(tmp_path, picture):
    page = page_of(tmp_path, full_report(picture))
    assert sum(HOSTILE in text for text in page.texts) >= 10
    assert {attributes["alt"] for tag, attributes in page.tags if tag == "img"} == {HOSTILE, "again"}


def test_every_figure_is_embedded_byte_for_byte_at_half_its_pixels(tmp_path, picture):
    images = [attributes for tag, attributes in page_of(tmp_path, full_report(picture)).tags if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert base64.b64decode(image["src"].partition(",")[2]) == picture.read_bytes()
        assert (image["width"], image["height"]) == ("25", "15")


def test_numbers_intervals_and_gaps(tmp_path, picture):
    text = " ".join("".join(page_of(tmp_path, full_report(picture)).texts).split())
    for expected in ("0.420 ± 0.030 (n=4)", "0.5 (one seed, no interval)", "–", "no published value"):
        assert expected in text


def test_departures_have_their_table_and_stand_out_among_the_settings(tmp_path, picture):
    page = page_of(tmp_path, full_report(picture))
    text = "".join(page.texts)
    assert "train.steps1000001000" in text.replace("\n", "")
    assert sum(attributes.get("class") == "differs" for _, attributes in page.tags) == 1


def test_the_reference_setting_itself_says_so(tmp_path):
    text = "".join(page_of(tmp_path, Report("t", [], {"seeds": 4}, {"seeds": 4}, "paper")).texts)
    assert "All settings are those of the paper setting." in text


def test_without_reference_nothing_is_compared(tmp_path):
    page = page_of(tmp_path, Report("t", [], {"seed": 1}))
    assert "differ" not in "".join(page.texts)
    assert not any(attributes.get("class") in {"differs", "changed"} for _, attributes in page.tags)


def test_flatten_names_settings_as_the_command_line_does():
    assert flatten({"a": {"b": {"c": 1}, "d": None}, "e": (0.8, 0.1)}) == {
        "a.b.c": "1",
        "a.d": "none",
        "e": "0.8, 0.1",
    }
    assert flatten({"models": ["vae", "dae"], "at": []}) == {"models": "vae, dae", "at": "none"}
    assert flatten(dataclasses.asdict(Config())) == {
        "train.steps": "1000",
        "train.rate": "0.0001",
        "seeds": "4",
    }


def test_departures_include_settings_of_one_side_only():
    changed = departures({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    assert changed == {"b": ("3", "2"), "c": ("4", "–")}


@pytest.mark.parametrize(
    ("here", "there", "differs"),
    [
        (None, "none", True),  # they look the same in a table and are not
        ((1, 2), [1, 2], False),
        ([], None, True),
        (1, 1.0, False),
        (0.1, 0.2, True),
    ],
)
def test_departures_compare_values_and_not_their_texts(here, there, differs):
    assert bool(departures({"model": {"prior": here}}, {"model": {"prior": there}})) == differs


def test_wide_tables_name_their_columns_in_every_cell(tmp_path):
    """On a phone a row is a block, and each of its numbers stands behind the head of its column."""
    table = Table("wide", ("", "a", "b & c", "d"), [("row", 1, 2, ""), ("other", 3, 4, "text")])
    page = page_of(tmp_path, Report("t", [], {}, sections=[Section("s", tables=[table])]))
    heads = [
        attributes["data-head"] for tag, attributes in page.tags if tag == "td" and "data-head" in attributes
    ]
    assert heads == ["a", "b & c", "d"] * 2
    assert {"table", "row", "cell", "rowheader"} <= {attributes.get("role") for _, attributes in page.tags}
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "table"][:1] == ["many"]
    assert not any(tag == "th" and not attributes.get("scope") for tag, attributes in page.tags)


def test_a_table_of_other_data_is_set_apart(tmp_path):
    table = Table("elsewhere", ("model", "data"), [("a", "ML-20M")], apart=True)
    page = page_of(tmp_path, Report("t", [], {}, sections=[Section("s", tables=[table])]))
    assert [a["class"] for _, a in page.tags if "apart" in a.get("class", "")] == ["block apart"]


@pytest.mark.parametrize("content", [None, b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_missing_or_broken_figure_is_named_and_the_old_report_stays(tmp_path, content):
    path = tmp_path / "gone.png"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(UserError, match=r"gone\.png"):
        write_report(
            tmp_path / "report.html",
            Report("t", [], {}, sections=[Section("s", pictures=[Picture(path, "")])]),
        )
    assert (tmp_path / "report.html").read_text() == "old"
