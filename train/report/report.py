"""The report of a run: one self-contained HTML page with settings, environment, pictures and tables."""

import dataclasses
import html
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from train.atomic import write_atomically
from train.report.page import facts_html, figure_html, page_html, paragraphs_html, section_html, table_html
from train.report.tables import NO_NUMBER, Table

Settings: TypeAlias = Mapping[str, object]
"""Settings of a run, by name, nested to any depth, as JSON holds them."""


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
      settings: those of the run.
      reference: those to compare them with, such as the published setting; None compares with nothing.
      reference_name: what the reference is called at the head of its column.
      environment: versions, devices, command, commit, date: names to values.
      notes: what a reader must know to read the numbers, a sentence each.
      sections: the results.
    """

    title: str
    summary: Sequence[str]
    settings: Settings
    reference: Settings | None = None
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
      UserError: when a picture is missing or not a PNG, or the place can't be written.
    """
    body = [_section(index, section) for index, section in enumerate(report.sections)]
    page = page_html(report.title, _head(report), "\n".join([*body, _settings(report), _environment(report)]))
    return write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))


def flatten(settings: Settings) -> dict[str, str]:
    """Nested settings by dotted name, each value as text: {"train.steps": "1000", "model.hidden": "600, 200"}."""
    return {name: _shown(value) for name, value in _leaves(settings).items()}


def departures(settings: Settings, reference: Settings) -> dict[str, tuple[str, str]]:
    """The settings that differ: name to (value in the reference, value here), a dash where one lacks it."""
    here, there = _leaves(settings), _leaves(reference)
    differing = [name for name in {**there, **here} if _differ(name, here, there)]

    def shown(side: Settings, name: str) -> str:
        return _shown(side[name]) if name in side else NO_NUMBER

    return {name: (shown(there, name), shown(here, name)) for name in differing}


def _leaves(settings: Settings, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in settings.items():
        found |= (
            _leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        )
    return found


def _differ(name: str, here: Settings, there: Settings) -> bool:
    """Whether a setting is on one side alone, or has another value there; a tuple is a list."""
    if (name in here) != (name in there):
        return True
    return _as_list(here[name]) != _as_list(there[name])


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    """A value as a reader writes it: lists without brackets, `none` for what is not set."""
    if value is None:
        return "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_shown, value)) or "none"
    return str(value)


def _head(report: Report) -> str:
    parts = ['<div class="summary">', *paragraphs_html(list(report.summary)), "</div>"]
    if report.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
        parts.append(f'<aside class="notes"><ul>{items}</ul></aside>')
    if report.reference is not None:
        parts.append(_departures(report.settings, report.reference, report.reference_name))
    headings = [*(section.heading for section in report.sections), "Settings", "Environment"]
    anchors = [*(f"section-{index}" for index in range(len(report.sections))), "settings", "environment"]
    links = (
        f'<a href="#{anchor}">{html.escape(name)}</a>' for anchor, name in zip(anchors, headings, strict=True)
    )
    return "\n".join([*parts, f"<nav>{' '.join(links)}</nav>"])


def _departures(settings: Settings, reference: Settings, name_there: str) -> str:
    changed = departures(settings, reference)
    if not changed:
        return f"<p>All settings are those of the {html.escape(name_there)} setting.</p>"
    rows = [(_as_flag(name), there, here) for name, (there, here) in changed.items()]
    caption = f"What differs from the {name_there} setting"
    return table_html(Table(caption, ("setting", name_there, "here"), rows), "changed")


def _as_flag(name: str) -> str:
    """A setting as the command line spells it, without its dashes."""
    return name.replace("_", "-")


def _section(index: int, section: Section) -> str:
    parts = paragraphs_html(list(section.text))
    parts += [table_html(table) for table in section.tables]
    parts += [figure_html(picture.path, picture.caption) for picture in section.pictures]
    return section_html(f"section-{index}", section.heading, parts)


def _settings(report: Report) -> str:
    reference = report.settings if report.reference is None else report.reference
    changed = frozenset(map(_as_flag, departures(report.settings, reference)))
    groups: dict[str, dict[str, str]] = {}
    for name, value in flatten(report.settings).items():
        groups.setdefault(name.split(".")[0] if "." in name else "run", {})[_as_flag(name)] = value
    blocks = [facts_html(group, facts, changed) for group, facts in groups.items()]
    return section_html("settings", "Settings", ['<div class="facts">', *blocks, "</div>"])


def _environment(report: Report) -> str:
    facts = {name: str(value) for name, value in report.environment.items()}
    return section_html("environment", "Environment", [facts_html("", facts)])
