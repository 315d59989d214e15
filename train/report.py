"""The report of a run: one self-contained HTML page with settings, environment, pictures and tables."""

import dataclasses
import html
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from train.atomic import write_atomically
from train.report_page import facts_html, figure_html, page_html, paragraphs_html, section_html, table_html
from train.tables import NO_NUMBER, Table


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG file and the sentence below it."""

    path: str | os.PathLike[str]
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then tables, then pictures."""

    heading: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes:
      title: of the page.
      summary: one or a few sentences that say what came out.
      settings: the config of the run: a dataclass or mapping, nested at will.
      reference: the config to compare it with, such as the published setting; None compares with nothing.
      reference_name: what the reference is called at the head of its column.
      environment: versions, devices, command, commit, date: names to values.
      notes: what a reader must know to read the numbers, a sentence each.
      sections: the results.
    """

    title: str
    summary: Sequence[str]
    settings: Any
    reference: Any = None
    reference_name: str = "published"
    environment: Mapping[str, object] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()


def write_report(path: str | os.PathLike[str], report: Report) -> pathlib.Path:
    """Writes the report as one HTML file that needs no other file, no network and no script.

    Args:
      path: the HTML file to write.
      report: what it says; every text is escaped.

    Returns:
      The path.

    Raises:
      UserError: when a picture is missing or no PNG, or the place can't be written.
    """
    body = [_section(index, section) for index, section in enumerate(report.sections)]
    page = page_html(report.title, _head(report), "\n".join([*body, _settings(report), _environment(report)]))
    return write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))


def flatten(settings: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings by dotted name, as on the command line: {"train.steps": "1000"}.

    Args:
      settings: a dataclass or mapping, nested at will.
      prefix: put before each name.

    Returns:
      Each value as text, in the order given.
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    if not isinstance(settings, Mapping):
        return {prefix.removesuffix("."): str(settings)}
    parts = (flatten(value, f"{prefix}{name}.") for name, value in settings.items())
    return {name: value for part in parts for name, value in part.items()}


def departures(settings: Any, reference: Any) -> dict[str, tuple[str, str]]:
    """The settings that differ: name to (value in the reference, value here), a dash where one has none."""
    here, there = flatten(settings), flatten(reference)
    pairs = {name: (there.get(name, NO_NUMBER), here.get(name, NO_NUMBER)) for name in {**there, **here}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _head(report: Report) -> str:
    parts = ['<div class="summary">', *paragraphs_html(list(report.summary)), "</div>"]
    if report.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
        parts.append(f'<aside class="notes"><ul>{items}</ul></aside>')
    if report.reference is not None:
        parts.append(_departures(report))
    headings = [*(section.heading for section in report.sections), "Settings", "Environment"]
    anchors = [*(f"section-{index}" for index in range(len(report.sections))), "settings", "environment"]
    links = (
        f'<a href="#{anchor}">{html.escape(name)}</a>' for anchor, name in zip(anchors, headings, strict=True)
    )
    return "\n".join([*parts, f"<nav>{' '.join(links)}</nav>"])


def _departures(report: Report) -> str:
    changed = departures(report.settings, report.reference)
    if not changed:
        return f"<p>All settings are those of the {html.escape(report.reference_name)} setting.</p>"
    rows = [(name, there, here) for name, (there, here) in changed.items()]
    caption = f"What differs from the {report.reference_name} setting"
    return table_html(Table(caption, ("setting", report.reference_name, "here"), rows), "changed")


def _section(index: int, section: Section) -> str:
    parts = paragraphs_html(list(section.text))
    parts += [table_html(table) for table in section.tables]
    parts += [figure_html(picture.path, picture.caption) for picture in section.pictures]
    return section_html(f"section-{index}", section.heading, parts)


def _settings(report: Report) -> str:
    changed = frozenset(departures(report.settings, report.reference) if report.reference is not None else ())
    groups: dict[str, dict[str, str]] = {}
    for name, value in flatten(report.settings).items():
        groups.setdefault(name.split(".")[0] if "." in name else "run", {})[name] = value
    blocks = [facts_html(group, facts, changed) for group, facts in groups.items()]
    return section_html("settings", "Settings", ['<div class="facts">', *blocks, "</div>"])


def _environment(report: Report) -> str:
    facts = {name: str(value) for name, value in report.environment.items()}
    return section_html("environment", "Environment", [facts_html("", facts)])
