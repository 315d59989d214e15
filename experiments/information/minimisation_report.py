"""The numbers, pictures, tables and page of a run of `mi_minimisation`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.information.minimisation_measures import Course, Kept, Recognised
from experiments.run_report import titled, write_run_report
from train.data.digits import Images
from train.figures import Panel, bands, image_grid
from train.figures.points import Point, points
from train.report import Picture, Report, Section, Settings
from train.run_directory import RunDirectory, write_json
from train.tables import Cell, Interval, Table, to_text

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
Measured = Mapping[str, Mapping[str, Course | Kept | Recognised]]


class About(NamedTuple):
    """What the page says of the run.

    Attributes:
      data: what the digits are, in words.
      counts: images that train and test.
      classes: how many of the test images are of each class.
      domain: of the target.
      settings: of the run, as JSON holds them.
      reference: the published ones, in the same form.
      examples: images of source and target, where adaptation is a part.
    """

    data: str
    counts: tuple[int, int]
    classes: Sequence[int]
    domain: str
    settings: Settings
    reference: Settings
    examples: tuple[Images, Images] | None


def write_everything(run: RunDirectory, measured: Measured, about: About) -> None:
    """results.json, figures, report.html; prints the tables.

    Args:
      run: where to.
      measured: by part, then by estimate, penalty or method.
      about: see there.
    """
    run.figures.mkdir(exist_ok=True)
    write_json(run.path / "results.json", _results(measured))
    write = {"gaussians": _gaussians, "bottleneck": _bottleneck, "adaptation": _adaptation}
    sections = [write[part](run, items, about) for part, items in measured.items()]
    for table in (table for section in sections for table in section.tables):
        print(to_text(table), flush=True)
    report = Report(
        title=titled("Minimising mutual information with CLUB", _in_words(measured, about)),
        summary=[line for part, items in measured.items() for line in _summary(part, items)],
        settings=about.settings,
        reference=about.reference,
        reference_name="published",
        notes=[
            "Every number is of the last update; nothing was chosen on test images.",
            "An estimate with a learned q is an upper bound only while q fits well enough (theorem 3.2 of the paper).",
        ],
        sections=sections,
    )
    write_run_report(run, report)


def _in_words(measured: Measured, about: About) -> str:
    """What the data of all parts are, for the title."""
    parts = {"gaussians": "Gaussian mixtures"} if "gaussians" in measured else {}
    digits = {"digits": about.data} if set(measured) - {"gaussians"} else {}
    return " and ".join((parts | digits).values())


def _results(measured: Measured) -> dict[str, Any]:
    """Every number of the tables, by seed; of a course its end."""

    def numbers(item: Course | Kept | Recognised) -> dict[str, Any]:
        if isinstance(item, Course):
            ends = {name: getattr(item, name)[-1].tolist() for name in Course._fields[1:]}
            return {"steps": int(item.steps[-1]), **ends}
        values = item._asdict().items()
        return {name: [None if np.isnan(v) else float(v) for v in value] for name, value in values}

    return {part: {name: numbers(item) for name, item in items.items()} for part, items in measured.items()}


def _gaussians(run: RunDirectory, items: Mapping[str, Course], about: About) -> Section:
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
    note = "Mean and 95 % interval over seeds; nearest logged update. Published: one run of the notebook."
    return Table("True mutual information in nats after so many updates of the angles", columns, rows, note)


def _bottleneck(run: RunDirectory, items: Mapping[str, Kept], about: About) -> Section:
    rows: list[list[Cell]] = [
        [name, *map(Interval.of, (100 * item.error, item.lower, item.upper, item.rate))]
        for name, item in items.items()
    ]
    rows += [[name, 100 * (1 - right), *(math.nan,) * 3] for name, right in _blind(about).items()]
    columns = ["lowered", "test error, %", "I(x; z) at least", "I(x; z) at most", "rate (VUB)"]
    caption = (
        f"Classification of {about.data} from the latent of an information bottleneck; information in nats"
    )
    note = (
        "Mean and 95 % interval over seeds. At least: InfoNCE, at most: leave-one-out, both with the encoder's own "
        f"p(z|x) on {about.counts[1]:,} test images at most; there are no such bounds for a deterministic latent."
    )
    text = (
        f"{about.counts[0]:,} images train, {about.counts[1]:,} test. The loss is cross entropy + beta I(x; z) under "
        "the estimate that names the row. CLUB and CLUB-S know p(z|x), vCLUB and vCLUB-S learn q(z|x). For CLUB "
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


def _blind(about: About) -> dict[str, float]:
    """The accuracy of what looks at no image."""
    share = max(about.classes) / max(sum(about.classes), 1)
    return {"(the most frequent class, always)": share, "(chance)": 1 / len(about.classes)}


def _adaptation(run: RunDirectory, items: Mapping[str, Recognised], about: About) -> Section:
    rows: list[list[Cell]] = [
        [name, Interval.of(100 * item.source), Interval.of(100 * item.target)] for name, item in items.items()
    ]
    rows += [[name, 100 * right, 100 * right] for name, right in _blind(about).items()]
    caption = f"Test accuracy on {about.data} and on the same digits {about.domain}, in percent"
    note = (
        "Mean and 95 % interval over seeds. `labels of the target` learns from them and stands for what could be "
        "reached; every other row sees labels of the source alone."
    )
    text = (
        "Features of the content classify the source's digits; features of the domain tell source from target; CLUB of "
        f"the two is lowered through the first. Source: {about.data} in grey; target: {about.domain}. No original is "
        "in both. The paper's pairs of domains (MNIST, MNIST-M, USPS, SVHN, CIFAR-10, STL-10) need downloads and are "
        "not these."
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
    if about.examples is not None:
        shown = np.stack([images.image[:EXAMPLES] for images in about.examples])
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
