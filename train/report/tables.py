"""Tables of results: values with intervals beside published numbers, as plain text and as Markdown."""

import dataclasses
import html
import math
from collections.abc import Callable, Sequence, Set
from typing import Self

import numpy as np
from jaxtyping import Float

from train.metrics.intervals import mean_interval

NO_NUMBER = "–"
ONE_SEED = "one seed, no interval"
OVER_SEEDS = "Mean and 95 % interval over seeds."
"""What a note begins with; a table of one seed says `ONE_SEED` in its place."""
_NO_INTERVAL = f"{ONE_SEED.capitalize()}."
UNPUBLISHED = "no published value"


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over seeds and the half-width of its confidence interval, which is NaN for a single seed."""

    mean: float
    half_width: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float] | Float[np.ndarray, " seeds"]) -> Self:
        """The mean of one value per seed with the 95 % interval of Student's t.

        Args:
          values: one per seed; one that is not finite makes the mean so too, nothing is left out.

        Returns:
          The interval, in the units of the values.

        Raises:
          ValueError: when there are no values.
        """
        mean, half_width = mean_interval(np.asarray(values, np.float64).reshape(-1))
        return cls(float(mean), float(half_width), np.size(values))


Cell = str | int | float | Interval


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
      caption: what the table shows and how it was measured.
      columns: the heads.
      rows: as many cells each as there are heads.
      note: a sentence below the table.
      published: a published number for each row, None where none is known; adds a last column.
      remarks: further sentences below the table, such as one on each row.
      apart: whether the table is of other data than the run, and so is set apart by a rule.

    Raises:
      ValueError: when a row or the published numbers have another length.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    published: Sequence[Cell | None] | None = None
    remarks: Sequence[str] = ()
    apart: bool = False

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table '{self.caption}': {len(row)} cells for {len(self.columns)} columns: {row}"
                )
        if self.published is not None and len(self.published) != len(self.rows):
            raise ValueError(
                f"table '{self.caption}': {len(self.published)} published for {len(self.rows)} rows"
            )

    def heads(self) -> list[str]:
        """The heads, with that of the published numbers, and the count of a column whose intervals share one."""
        heads = [*self.columns, *(["published"] if self.published is not None else [])]
        counts = [self._counts(column) for column in range(len(heads))]
        return [
            f"{head} (n={max(n):,})" if self._is_said_in_head(n) else head
            for head, n in zip(heads, counts, strict=True)
        ]

    def body(self) -> list[list[Cell]]:
        """The rows, with the published numbers."""
        if self.published is None:
            return [list(row) for row in self.rows]
        numbers = [UNPUBLISHED if number is None else number for number in self.published]
        return [[*row, number] for row, number in zip(self.rows, numbers, strict=True)]

    def texts(self) -> list[list[str]]:
        """The body as text; the number of values of an interval stands in its cell unless it is said elsewhere."""
        said = self._said_below()
        columns = [said or self._is_said_in_head(self._counts(i)) for i in range(len(self.heads()))]
        return [
            [cell_text(cell, say_count=not elsewhere) for cell, elsewhere in zip(row, columns, strict=True)]
            for row in self.body()
        ]

    def notes(self) -> list[str]:
        """The sentences below the table."""
        said = self._said_below()
        note = self.note.removeprefix(OVER_SEEDS).strip() if said == [_NO_INTERVAL] else self.note
        return [*([note] if note else []), *self.remarks, *said]

    def _said_below(self) -> list[str]:
        """What all intervals have in common: one seed, or their number of values."""
        counts = {n for column in range(len(self.columns)) for n in self._counts(column)}
        if len(counts) != 1:
            return []
        n = max(counts)
        return [_NO_INTERVAL if n == 1 else f"Every interval is of n = {n:,} values."]

    def _is_said_in_head(self, counts: Set[int]) -> bool:
        return not self._said_below() and len(counts) == 1 and counts != {1}

    def _counts(self, column: int) -> set[int]:
        """The number of values of the intervals of a column."""
        cells = [row[column] for row in self.rows] if column < len(self.columns) else []
        return {cell.n for cell in cells if isinstance(cell, Interval) and not math.isnan(cell.mean)}

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds a number, and so is aligned to the right."""
        return any(not isinstance(row[column], str) for row in self.body())


def cell_text(cell: Cell, say_count: bool = True) -> str:
    """One cell as text: "0.42 ± 0.03 (n=4)", "0.42 (one seed, no interval)", "–" for NaN; or without the bracket."""
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Interval):
        return _number(cell)
    if math.isnan(cell.mean):
        return NO_NUMBER
    if cell.n == 1:
        return _number(cell.mean) + (f" ({ONE_SEED})" if say_count else "")
    return _plus_minus(cell.mean, cell.half_width) + (f" (n={cell.n:,})" if say_count else "")


def to_text(table: Table) -> str:
    """The table for a terminal: aligned columns under the caption."""
    lines = [table.heads(), *table.texts()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    padded = ["  ".join(_pad(table, widths, line)).rstrip() for line in [lines[0], rule, *lines[1:]]]
    return "\n".join([table.caption, *padded, *table.notes()])


def to_markdown(table: Table) -> str:
    """The table for a README: GitHub's Markdown, the caption above, the notes below."""
    aligned = [("---:" if table.is_numeric(index) else "---") for index in range(len(table.heads()))]
    lines = [_escaped(table.heads()), aligned, *map(_escaped, table.texts())]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"**{_escaped([table.caption])[0]}**", grid, *_escaped(table.notes())])


def _pad(table: Table, widths: Sequence[int], line: Sequence[str]) -> list[str]:
    sides: list[Callable[[str, int], str]] = [
        str.rjust if table.is_numeric(index) else str.ljust for index in range(len(widths))
    ]
    return [side(text, width) for side, text, width in zip(sides, line, widths, strict=True)]


def _escaped(texts: Sequence[str]) -> list[str]:
    special = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|"})
    return [html.escape(" ".join(text.split()), quote=False).translate(special) for text in texts]


def _number(value: float) -> str:
    """Four significant digits; integers whole."""
    if math.isnan(value):
        return NO_NUMBER
    if isinstance(value, int) or value == 0 or 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _plus_minus(mean: float, half_width: float) -> str:
    """Two significant digits of the half-width, and the mean to the same decimal."""
    if half_width == 0 or not math.isfinite(half_width):
        return f"{_number(mean)} ± {half_width:g}"
    decimals = max(0, 1 - math.floor(math.log10(half_width)))
    if decimals > 5:
        return f"{mean:.4g} ± {half_width:.2g}"
    return f"{mean:,.{decimals}f} ± {half_width:,.{decimals}f}"
