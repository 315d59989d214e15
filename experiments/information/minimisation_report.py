"""The numbers, pictures, tables and page of a run of `mi_minimisation`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float

from experiments.information.minimisation_measures import Course, Found, Kept, Recognised
from experiments.information.minimisation_stages import in_both_domains
from experiments.run_report import titled
from experiments.session import Findings
from train.data import domains
from train.data.digits import CLASSES, Digits, Images
from train.report.figures import Panel, bands, image_grid
from train.report.figures.points import Point, points
from train.report.report import Picture, Section
from train.report.tables import OVER_SEEDS, Cell, Interval, Table
from train.run_directory import RunDirectory

PUBLISHED_COURSE = {
    0: 1.5803,
    500: 1.1067,
    1000: 0.6892,
    1500: 0.4584,
    2000: 0.2548,
    2500: 0.1599,
    3000: 0.0970,
}
PUBLISHED_COURSE |= {3500: 0.0550, 4000: 0.0278, 4900: 0.00475}
"""Mutual information in nats by update, as stored in the notebook of CLUB: a single run."""
EXAMPLES = 10
"""Digits of each domain that the page shows."""


class Subject(NamedTuple):
    """What was trained and tested on.

    Attributes:
      data: what the digits are, in words.
      counts: images that train and test.
      classes: how many of the test images are of each class.
      domain: of the target.
      examples: images of source and target, where adaptation is a part.
    """

    data: str
    counts: tuple[int, int]
    classes: Sequence[int]
    domain: str
    examples: tuple[Images, Images] | None

    @classmethod
    def of(cls, name: str, data: Digits, domain: domains.Domain, adapted: bool) -> Self:
        """These digits, called `name`; with examples where a domain was adapted to."""
        classes = np.bincount(data.test.label, minlength=CLASSES).tolist()
        examples = in_both_domains(data.test, domain) if adapted else None
        return cls(name, (len(data.train), len(data.test)), classes, domain, examples)


def findings(run: RunDirectory, found: Found, subject: Subject) -> Findings:
    """The page of all parts; prints their tables."""
    write = {"gaussians": _gaussians, "bottleneck": _bottleneck, "adaptation": _adaptation}
    sections = [write[part](run, items, subject) for part, items in found.items()]
    return Findings(
        titled("Minimising mutual information with CLUB", _in_words(found, subject)),
        [line for part, items in found.items() for line in _summary(part, items)],
        sections,
        _results(found),
        [
            "Every number is of the last update; nothing was chosen on test images.",
            "An estimate with a learned q is an upper bound only while q fits well enough (theorem 3.2 of the paper).",
        ],
        [table for section in sections for table in section.tables],
    )


def _in_words(found: Found, subject: Subject) -> str:
    """What the data of all parts are, for the title."""
    parts = {"gaussians": "Gaussian mixtures"} if "gaussians" in found else {}
    digits = {"digits": subject.data} if set(found) - {"gaussians"} else {}
    return " and ".join((parts | digits).values())


def _results(found: Found) -> dict[str, Any]:
    """Every number of the tables, by seed; of a course its end."""

    def numbers(item: Course | Kept | Recognised) -> dict[str, Any]:
        if isinstance(item, Course):
            ends = {name: getattr(item, name)[-1].tolist() for name in Course._fields[1:]}
            return {"steps": int(item.steps[-1]), **ends}
        values = item._asdict().items()
        return {name: [None if np.isnan(v) else float(v) for v in value] for name, value in values}

    return {part: {name: numbers(item) for name, item in items.items()} for part, items in found.items()}


def _gaussians(run: RunDirectory, items: Mapping[str, Course], subject: Subject) -> Section:
    panels = {
        f"lowered: {name}": Panel(
            item.steps,
            {
                "true mutual information": item.mutual_information.T,
                "what is lowered": item.estimate.T,
                "CLUB with the true p(y|x), analytic": item.analytic_club.T,
            },
        )
        for name, item in items.items()
    }
    picture = bands(run.figures / "gaussians.png", panels, "update of the angles", "nats")
    caption = (
        "Mutual information of the mixtures while their angles are turned, the estimate on each batch, and the "
        "analytic value of CLUB; means and 95 % intervals over seeds."
    )
    text = (
        "x = sin(a) z1 + cos(a) z2 and y = cos(a) z1 + sin(a) z2 in every dimension: the true mutual information "
        "is -1/2 sum log(1 - sin(2a)^2). CLUB with the true conditional is a loose upper bound of it; a learned q "
        "of few hidden units stays below that, and lowering its estimate lowers the truth all the same."
    )
    return Section(
        "Independence of Gaussian mixtures", [text], [_course_table(items)], [Picture(picture, caption)]
    )


def _course_table(items: Mapping[str, Course]) -> Table:
    """The truth at the updates that the notebook printed, as far as the run got, and at its end."""
    first = next(iter(items.values()))
    shown = [s for s in PUBLISHED_COURSE if s + 1 <= first.steps[-1]]
    rows: list[list[Cell]] = []
    for name, item in items.items():
        nearest = [int(np.abs(item.steps - 1 - step).argmin()) for step in shown] + [-1]
        rows.append([f"lowered: {name}", *(Interval.of(item.mutual_information[at]) for at in nearest)])
    rows.append(["lowered: club, published", *(PUBLISHED_COURSE[step] for step in shown), "–"])
    columns = ["", *(f"{step:,}" for step in shown), f"end, {first.steps[-1]:,}"]
    note = f"{OVER_SEEDS} Nearest logged update. Published: one run of the notebook."
    return Table("True mutual information in nats after so many updates of the angles", columns, rows, note)


def _bottleneck(run: RunDirectory, items: Mapping[str, Kept], subject: Subject) -> Section:
    rows: list[list[Cell]] = [
        [name, *map(Interval.of, (100 * item.error, item.lower, item.upper, item.rate))]
        for name, item in items.items()
    ]
    rows += [[name, 100 * (1 - right), *(math.nan,) * 3] for name, right in _blind(subject).items()]
    columns = ["lowered", "test error, %", "I(x; z) at least", "I(x; z) at most", "rate (VUB)"]
    caption = (
        f"Classification of {subject.data} from the latent of an information bottleneck; information in nats"
    )
    note = (
        f"{OVER_SEEDS} At least: InfoNCE, at most: leave-one-out, both with the encoder's own "
        f"p(z|x) on {subject.counts[1]:,} test images at most; a deterministic latent has no such bounds."
    )
    text = (
        f"{subject.counts[0]:,} images train, {subject.counts[1]:,} test. The loss is cross entropy + beta I(x; z) "
        "under the estimate that names the row. CLUB and CLUB-S know p(z|x), vCLUB and vCLUB-S learn q(z|x). For CLUB "
        "the paper reports errors between 1.06 % and 1.13 % on MNIST after 200 epochs, best epoch on test images; "
        "those numbers were quoted from memory and have not been checked against the paper."
    )
    panels = {
        "test error, %": {name: _point(100 * item.error) for name, item in items.items()},
        "I(x; z) at most, nats": {name: _point(item.upper) for name, item in items.items()},
    }
    picture = points(run.figures / "bottleneck.png", panels)
    legend = "Test error and what the latent keeps, by what was lowered; bars are 95 % intervals over seeds."
    return Section(
        "Information bottleneck", [text], [Table(caption, columns, rows, note)], [Picture(picture, legend)]
    )


def _blind(subject: Subject) -> dict[str, float]:
    """The accuracy of what looks at no image."""
    share = max(subject.classes) / max(sum(subject.classes), 1)
    return {"(the most frequent class, always)": share, "(chance)": 1 / len(subject.classes)}


def _adaptation(run: RunDirectory, items: Mapping[str, Recognised], subject: Subject) -> Section:
    rows: list[list[Cell]] = [
        [name, Interval.of(100 * item.source), Interval.of(100 * item.target)] for name, item in items.items()
    ]
    rows += [[name, 100 * right, 100 * right] for name, right in _blind(subject).items()]
    caption = f"Test accuracy on {subject.data} and on the same digits {subject.domain}, in percent"
    note = (
        f"{OVER_SEEDS} `labels of the target` learns from them and stands for what could be "
        "reached; every other row sees labels of the source alone."
    )
    text = (
        "Features of the content classify the source's digits; features of the domain tell source from target; CLUB of "
        f"the two is lowered through the first. Source: {subject.data} in grey; target: {subject.domain}. No original "
        "is in both. The paper's pairs of domains (MNIST, MNIST-M, USPS, SVHN, CIFAR-10, STL-10) need downloads and "
        "are not these."
    )
    panels = {
        "source, %": {name: _point(100 * item.source) for name, item in items.items()},
        "target, %": {name: _point(100 * item.target) for name, item in items.items()},
    }
    pictures = [
        Picture(
            points(run.figures / "adaptation.png", panels),
            "Test accuracy in either domain; bars are 95 % intervals over seeds.",
        )
    ]
    if subject.examples is not None:
        shown = np.stack([images.image[:EXAMPLES] for images in subject.examples])
        grid = image_grid(run.figures / "domains.png", shown, ["source", "target"])
        pictures.append(Picture(grid, "Test images of the two domains."))
    return Section(
        "Domain adaptation", [text], [Table(caption, ["", "source", "target"], rows, note)], pictures
    )


def _point(values: Float[np.ndarray, " seeds"]) -> Point:
    interval = Interval.of(values)
    return Point(interval.mean, interval.half_width, tuple(map(float, values)))


def _summary(part: str, items: Mapping[str, Any]) -> Sequence[str]:
    match part:
        case "gaussians":
            name, item = next(iter(items.items()))
            begin, end = (float(item.mutual_information[at].mean()) for at in (0, -1))
            return [f"Lowering {name} took mixtures of {begin:.2f} nats to {end:.2g} nats."]
        case "bottleneck":
            errors = {name: 100 * item.error.mean() for name, item in items.items()}
            told = ", ".join(f"{name} {error:.2f} %" for name, error in errors.items())
            return [f"Test errors of the bottleneck: {told}."]
        case _:
            told = ", ".join(f"{name} {100 * item.target.mean():.1f} %" for name, item in items.items())
            return [f"Digits recognised in the target domain: {told}."]
