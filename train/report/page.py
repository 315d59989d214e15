"""How a report looks: the page, its style, and tables and figures as HTML; no script, nothing fetched."""

import base64
import html
import os
import pathlib
import re
import string
import struct

from train.errors import UserError
from train.report.tables import ONE_SEED, UNPUBLISHED, Table

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ASIDE = re.compile(
    rf"(^{UNPUBLISHED}|\(n=[\d,]+\)|\({ONE_SEED}\))$"
)  # in cells, set smaller than the numbers
PIXELS_PER_CSS_PIXEL = 2  # as train/report/figures draws them
WIDEST_ON_A_PHONE = 3  # columns that a narrow screen shows side by side
WIDEST_UNBROKEN = 7  # columns whose numbers the page shows in one line each

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 2.5rem 20px 4rem; color: #24292f; background: #fff;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word; -webkit-text-size-adjust: 100%; }
h1 { margin: 0 0 .5rem; font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.75rem 0 .75rem; padding-top: 1.25rem; border-top: 1px solid #d0d7de;
  font-size: 1.3rem; line-height: 1.3; }
p { margin: .5rem 0; max-width: 44rem; }
.summary p { font-size: 1.1rem; }
.notes { margin: 1.25rem 0; padding: .25rem 1rem; border-left: 3px solid #0072b2; background: #f3f6f9; }
.notes ul { margin: .5rem 0; padding-left: 1.1rem; }
nav { margin: 1.25rem 0 0; font-size: .92rem; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
a { color: #0072b2; text-decoration-thickness: 1px; text-underline-offset: .2em; }
figure { margin: 1.25rem 0 1.75rem; }
img { display: block; max-width: 100%; height: auto; }
figcaption, .note { max-width: 44rem; margin: .5rem 0 0;
  color: #57606a; font-size: .88rem; line-height: 1.45; }
.block { margin: 1.25rem 0 1.75rem; }
/* A table wraps its text to fit; only what can't be wrapped is scrolled to, and the gradients shade that edge. */
.wide { overflow-x: auto; background: linear-gradient(to right, #fff 40%, #fff0),
  linear-gradient(to left, #fff 40%, #fff0) 100% 0, linear-gradient(to right, #57606a40, #57606a00),
  linear-gradient(to left, #57606a40, #57606a00) 100% 0; background-repeat: no-repeat;
  background-size: 40px 100%, 40px 100%, 12px 100%, 12px 100%;
  background-attachment: local, local, scroll, scroll; }
table { border-collapse: collapse; max-width: 100%; font-size: .9rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
.caption { margin: 0 0 .3rem; max-width: 60rem; font-size: .9rem; font-weight: 600; }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid #e6eaef;
  text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th, thead td { border-bottom: 1px solid #57606a; color: #57606a; font-weight: 600; vertical-align: bottom;
  overflow-wrap: break-word; }
tbody th { font-weight: 400; }
.wide tbody th { min-width: 8rem; }
td.text { min-width: 5rem; }
.number { text-align: right; overflow-wrap: normal; }
td.number { white-space: nowrap; }
td.number .muted { white-space: normal; }
.dense { font-size: .82rem; }
.dense th, .dense td { padding-right: .7rem; }
.dense td.number { white-space: normal; }
.muted { color: #57606a; font-size: .85em; }
.remarks { max-width: 60rem; padding-left: 1.1rem; }
.apart { margin: 1.75rem 0; padding: .75rem 0 .75rem 1rem; border: solid #d55e00; border-width: 1px 0 1px 4px; }
.changed td:last-child { background: #fdf1e7; font-weight: 600; padding-left: .5rem; }
.changed th:last-child { padding-left: .5rem; }
.facts { columns: 2; column-gap: 2.5rem; }
.facts .block { margin: 0 0 1.25rem; break-inside: avoid; }
.facts table { width: 100%; font-size: .84rem; }
.facts th { width: 55%; }
.facts td { overflow-wrap: anywhere; }
.differs { background: #fdf1e7; }
@media (max-width: 640px) {
  body { padding: 1.25rem 14px 2.5rem; }
  h1 { font-size: 1.5rem; }
  h2 { margin-top: 2rem; font-size: 1.15rem; }
  .summary p { font-size: 1rem; }
  .facts { columns: 1; }
  td.number { white-space: normal; }
  .wide tbody th { min-width: 5.5rem; }
  td.text { min-width: 3rem; }
  th, td { padding-right: .6rem; }
  /* Tables of many columns: a block for each row, the head of its column before each number. */
  .many thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .many, .many tbody, .many tr, .many tbody th { display: block; width: 100%; }
  .many tbody tr { padding: .5rem 0; border-bottom: 1px solid #d0d7de; }
  .many tbody th { padding: 0; border: 0; font-weight: 600; text-align: left; }
  .many tbody td { display: flex; justify-content: space-between; gap: 1rem; padding: .1rem 0; border: 0;
    text-align: right; }
  .many td::before { content: attr(data-head); color: #57606a; text-align: left; }
  .many tbody td:empty { display: none; }
  .many.changed td:last-child { padding: .1rem .5rem; }
}
@media print {
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt;
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav { display: none; }
  h2, .caption { break-after: avoid; }
  figure, tr, .notes { break-inside: avoid; }
  .wide { overflow: visible; background: none; }
  td.number, .muted { white-space: normal; }
  img { max-height: 240mm; width: auto; }
  thead { display: table-header-group; }
}
"""

PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$head
</header>
<main>
$body
</main>
</body>
</html>
""")


def page_html(title: str, head: str, body: str) -> str:
    """The whole page: the title is escaped, head and body are HTML already."""
    return PAGE.substitute(title=html.escape(title), style=STYLE, head=head, body=body)


def section_html(anchor: str, heading: str, parts: list[str]) -> str:
    """A section under its heading."""
    return "\n".join([f'<section id="{anchor}">', f"<h2>{html.escape(heading)}</h2>", *parts, "</section>"])


def paragraphs_html(texts: list[str]) -> list[str]:
    """Each text as a paragraph."""
    return [f"<p>{html.escape(text)}</p>" for text in texts]


def table_html(table: Table, kind: str = "") -> str:
    """A table whose text wraps to fit the page, its notes below; `kind` is a class of the style sheet."""
    heads, caption = table.heads(), html.escape(table.caption)
    numeric = [table.is_numeric(column) for column in range(len(heads))]
    classes = {
        kind: bool(kind),
        "many": len(heads) > WIDEST_ON_A_PHONE,
        "dense": len(heads) > WIDEST_UNBROKEN,
    }
    first = "".join(_head_html(head, right) for head, right in zip(heads, numeric, strict=True))
    rows = "\n".join(_row_html(heads, texts, numeric) for texts in table.texts())
    return (
        f'<div class="block{" apart" if table.apart else ""}"><p class="caption">{caption}</p>\n'
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}">'
        f'<table role="table" aria-label="{caption}"{_class(" ".join(c for c, on in classes.items() if on))}>\n'
        f'<thead role="rowgroup"><tr role="row">{first}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}\n</tbody></table></div>{_notes_html(table.notes())}</div>'
    )


def facts_html(caption: str, facts: dict[str, str], differing: frozenset[str] = frozenset()) -> str:
    """A small table of names and values; the differing ones stand out."""
    rows = "\n".join(
        f"<tr{_class('differs' if name in differing else '')}>"
        f'<th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in facts.items()
    )
    head = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    return f'<div class="block">{head}<table>\n<tbody>\n{rows}\n</tbody></table></div>'


def figure_html(path: str | os.PathLike[str], caption: str) -> str:
    """A PNG file inside the page, at half its pixels and never wider than the page.

    Raises:
      UserError: when the file is missing or not a PNG.
    """
    png = _read_png(pathlib.Path(path))
    width, height = (size // PIXELS_PER_CSS_PIXEL for size in struct.unpack(">II", png[16:24]))
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{text}" width="{width}" height="{height}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _read_png(path: pathlib.Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = f"can't be read ({error.strerror or error})"
        raise UserError("figure of the report", path, problem, "draw it before writing the report") from error
    if not content.startswith(PNG_SIGNATURE) or len(content) < 33:
        raise UserError("figure of the report", path, "is not a PNG file", "draw it again")
    return content


def _head_html(head: str, right: bool) -> str:
    """A head of a column; one without words is a plain cell, as screen readers would read it out."""
    if not head:
        return "<td></td>"
    return f'<th scope="col" role="columnheader"{_numeric(right)}>{html.escape(head)}</th>'


def _row_html(heads: list[str], texts: list[str], numeric: list[bool]) -> str:
    first = f'<th scope="row" role="rowheader"{_numeric(numeric[0])}>{html.escape(texts[0])}</th>'
    rest = (
        f'<td role="cell" data-head="{html.escape(head)}"{_class("number" if right else "text")}>'
        f"{_cell_html(text)}</td>"
        for head, text, right in zip(heads[1:], texts[1:], numeric[1:], strict=True)
    )
    return f'<tr role="row">{first}{"".join(rest)}</tr>'


def _notes_html(notes: list[str]) -> str:
    """One sentence as a paragraph, several as a list."""
    if len(notes) < 2:
        return "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    return f'<ul class="note remarks">{"".join(f"<li>{html.escape(note)}</li>" for note in notes)}</ul>'


def _cell_html(text: str) -> str:
    """The cell; a line may break before its plus-minus sign, not after it."""
    return ASIDE.sub(r'<span class="muted">\1</span>', html.escape(text)).replace("± ", "±\u00a0")


def _numeric(right: bool) -> str:
    return _class("number" if right else "")


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
