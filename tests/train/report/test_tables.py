"""Tables: intervals in closed form, and what a reader sees for one seed, NaN and unpublished numbers."""

import dataclasses
import math

import numpy as np
import pytest

from train.report.tables import OVER_SEEDS, Interval, Table, cell_text, to_markdown, to_text


def test_interval_of_two_values_in_closed_form():
    interval = Interval.of(
        [1.0, 3.0]
    )  # Student's quantile at 0.975 with one degree of freedom is tan(0.475 pi)
    assert (interval.mean, interval.n) == (2.0, 2)
    assert interval.half_width == pytest.approx(math.tan(0.475 * math.pi), rel=1e-9)


def test_interval_covers_as_often_as_it_says():
    seeds = np.random.default_rng(0).normal(size=(4000, 4))
    intervals = [Interval.of(row) for row in seeds]
    covered = np.mean([abs(interval.mean) <= interval.half_width for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_interval_of_one_seed_of_none_and_with_nan():
    assert math.isnan(Interval.of([0.5]).half_width)
    assert math.isnan(Interval.of([0.5, math.nan]).mean)
    with pytest.raises(ValueError, match="at least one seed"):
        Interval.of([])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("a", "a"), (3, "3"), (480_000, "480,000"),
        (0.5, "0.5"), (0.42349, "0.4235"), (1e-5, "1e-05"), (123456.7, "123,457"), (0.0, "0"),
        (math.nan, "–"), (math.inf, "inf"), (-math.inf, "-inf"),
        (Interval(0.4213, 0.0312, 4), "0.421 ± 0.031 (n=4)"), (Interval(18.43, 12.0, 3), "18 ± 12 (n=3)"),
        (Interval(1e-7, 2e-8, 4), "1e-07 ± 2e-08 (n=4)"), (Interval(0.5, 0.0, 2), "0.5 ± 0 (n=2)"),
        (Interval(math.nan, math.nan, 4), "–"), (Interval(0.42, math.nan, 1), "0.42 (one seed, no interval)"),
        (Interval(2.0, math.inf, 2), "2 ± inf (n=2)"), (Interval.of([1.0, math.inf]), "inf ± nan (n=2)"),
        (np.float32(0.25), "0.25"), (np.int64(7), "7"),
    ],
)  # fmt: skip
def test_cells(cell, text):
    assert cell_text(cell) == text


def table(**changes):
    rows = [("MIG", Interval(0.25, 0.05, 4), math.nan), ("a|b*<i>", Interval(0.5, math.nan, 1), 12)]
    return Table(
        **{"caption": "Scores", "columns": ("score", "GWAE", "VAE"), "rows": rows, "note": "A note."}
        | changes
    )


def test_text_is_aligned():
    assert to_text(table(published=[0.3, None])).splitlines() == [
        "Scores",
        "score                           GWAE  VAE           published",
        "-------  ---------------------------  ---  ------------------",
        "MIG              0.250 ± 0.050 (n=4)    –                 0.3",
        "a|b*<i>  0.5 (one seed, no interval)   12  no published value",
        "A note.",
    ]


def test_one_seed_throughout_is_said_once():
    single = table(rows=[("MIG", Interval(0.25, math.nan, 1), 0.1), ("SAP", Interval(0.5, math.nan, 1), 0.2)])
    assert single.notes() == ["A note.", "One seed, no interval."]
    for note, wanted in ((OVER_SEEDS, []), (f"{OVER_SEEDS} And more.", ["And more."])):
        said = dataclasses.replace(single, note=note)
        assert said.notes() == [*wanted, "One seed, no interval."]
    assert single.texts() == [["MIG", "0.25", "0.1"], ["SAP", "0.5", "0.2"]]


def test_a_count_that_all_intervals_share_is_said_once():
    same = table(rows=[("MIG", Interval(0.25, 0.05, 4), 0.1), ("SAP", Interval(0.5, 0.1, 4), 0.2)])
    assert same.notes() == ["A note.", "Every interval is of n = 4 values."]
    assert same.texts() == [["MIG", "0.250 ± 0.050", "0.1"], ["SAP", "0.50 ± 0.10", "0.2"]]


def test_a_count_that_a_column_shares_is_in_its_head():
    rows = [("a", Interval(0.25, 0.05, 1200), Interval(0.5, 0.1, 3)), ("b", math.nan, Interval(0.5, 0.1, 3))]
    counted = table(rows=rows)
    assert counted.heads() == ["score", "GWAE (n=1,200)", "VAE (n=3)"]
    assert counted.texts() == [["a", "0.250 ± 0.050", "0.50 ± 0.10"], ["b", "–", "0.50 ± 0.10"]]


def test_remarks_follow_the_note():
    assert table(remarks=["a: k 20.", "b: lambda 3."]).notes() == ["A note.", "a: k 20.", "b: lambda 3."]


def test_markdown_is_escaped_and_aligned():
    assert to_markdown(table()).splitlines() == [
        "**Scores**",
        "",
        "| score | GWAE | VAE |",
        "| --- | ---: | ---: |",
        "| MIG | 0.250 ± 0.050 (n=4) | – |",
        "| a\\|b\\*&lt;i&gt; | 0.5 (one seed, no interval) | 12 |",
        "",
        "A note.",
    ]


def test_an_empty_table_has_its_heads():
    assert to_text(Table("None", ("a", "b"), [])).splitlines() == ["None", "a  b", "-  -"]


def test_rows_and_published_numbers_must_fit():
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        table(rows=[("MIG", 1.0)])
    with pytest.raises(ValueError, match="1 published for 2 rows"):
        table(published=[1.0])
