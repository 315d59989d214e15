"""The numbers, pictures, tables and page of a run of `mi_gaussian`."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.information.gaussian_measures import EvaluateConfig, Stage, Summary, Toys, measure
from experiments.session import Findings
from train.data.correlated_pairs import Toy, analytic_club
from train.report.figures import Panel, bands
from train.report.figures.staircase import Staircase, staircases
from train.report.report import Picture, Section
from train.report.tables import OVER_SEEDS, Cell, Interval, Table
from train.run_directory import RunDirectory

TOYS: tuple[Toy, ...] = ("gaussian", "cubic")
STUDIES = {"club": "CLUB's study", "poole": "the study of Poole et al."}
PUBLISHED_BIAS: Mapping[str, tuple[float, ...]] = {
    "club/NWJ": (1.46, 2.93, 4.55, 6.1, 7.63),
    "club/MINE": (1.47, 2.88, 4.32, 5.83, 7.23),
    "club/InfoNCE": (1.10, 2.26, 3.57, 5.04, 6.65),
    "club/L1Out, coded": (0.6, 0.56, 0.3, 0.63, 2.1),
    "club/CLUB": (0.6, 0.56, 0.2, 0.63, 2.0),
    "club/CLUBSample": (0.51, 0.58, 0.24, 0.62, 2.16),
}
"""On Gaussians at 2, 4, 6, 8, 10 nats, read off the figure of CLUB's official notebook to about 0.05."""
PUBLISHED_VARIANCE: Mapping[str, tuple[float, ...]] = {
    "club/NWJ": (0.013, 0.019, 0.028, 0.026, 0.027),
    "club/MINE": (0.037, 0.12, 0.32, 0.7, 1.8),
    "club/InfoNCE": (0.022, 0.035, 0.034, 0.031, 0.026),
    "club/L1Out, coded": (0.033, 0.11, 0.22, 0.43, 0.85),
    "club/CLUB": (0.027, 0.097, 0.20, 0.42, 0.78),
    "club/CLUBSample": (0.061, 0.167, 0.349, 0.693, 1.17),
}
"""The variances, read off the same figure."""
PUBLISHED_LEVELS = (2.0, 4.0, 6.0, 8.0, 10.0)
CONTRASTIVE = ("club/InfoNCE", "poole/InfoNCE", "poole/TNCE")
"""At most log K whatever the truth."""


def findings(
    run: RunDirectory,
    stages: Sequence[Stage],
    toys: Toys,
    config: EvaluateConfig,
    sides: Mapping[str, str],
) -> Findings:
    """The page of the studies; prints bias and time.

    Args:
      run: whose logs are read, and where figures go.
      stages: what was trained.
      toys: the pairs.
      config: how estimates are summed up.
      sides: of each estimator, `mi_estimators.side`.

    Raises:
      UserError: a stage has not been trained to the end.
    """
    measured = {stage: measure(run, stage, toys, config.window) for stage in stages}
    sections, printed = [], []
    for toy in TOYS:
        of_toy = {stage.estimator: item for stage, item in measured.items() if stage.toy == toy}
        if not of_toy:
            continue
        sections.append(_toy_section(run, toy, of_toy, toys, config))
        printed.append(sections[-1].tables[0])
        if toy == "gaussian" and {"club/CLUB", "club/CLUB, wide q"} <= set(of_toy):
            sections.append(_under_fitted_section(run, of_toy, toys))
    seconds = _seconds_table(measured)
    return Findings(
        "Estimators of mutual information on pairs of known mutual information",
        _summary(measured, toys),
        [_sides_section(sides), *sections, Section("Time", tables=[seconds])],
        _results(measured, toys),
        _notes(measured, config),
        [*printed, seconds],
    )


def _results(measured: Mapping[Stage, Summary], toys: Toys) -> dict[str, Any]:
    """Every number of the report, in nats, [seeds, levels]."""

    def numbers(stage: Stage, item: Summary) -> dict[str, Any]:
        tables = {name: _plain(getattr(item, name)) for name in ("mean", "bias", "variance", "mse")}
        return {"steps": stage.steps, **tables, **item.end._asdict()}

    found: dict[str, Any] = {"levels": list(toys.levels)}
    for stage, item in measured.items():
        found.setdefault(stage.toy, {})[stage.estimator] = numbers(stage, item)
    return found


def _plain(values: Float[np.ndarray, "seeds levels"]) -> list[list[float | None]]:
    """For JSON, which has no NaN."""
    return [[float(value) if math.isfinite(value) else None for value in row] for row in values]


def _toy_section(
    run: RunDirectory, toy: Toy, measured: Mapping[str, Summary], toys: Toys, config: EvaluateConfig
) -> Section:
    published = toy == "gaussian" and toys.levels == PUBLISHED_LEVELS
    tables = [
        _table("Mean estimate", "mean", toy, measured, toys, config, {}),
        _table(
            "Bias, |truth - mean|", "bias", toy, measured, toys, config, PUBLISHED_BIAS if published else {}
        ),
        _table("Variance", "variance", toy, measured, toys, config, PUBLISHED_VARIANCE if published else {}),
        _table("Mean squared error", "mse", toy, measured, toys, config, {}),
    ]
    pictures = []
    for study, name in STUDIES.items():
        of_study = {key: item for key, item in measured.items() if key.startswith(f"{study}/")}
        if of_study:
            caption = (
                f"Estimates on {toy} pairs over training, estimators of {name}: the first seed's faintly, each "
                f"seed's moving average of span {config.span} strongly, the true mutual information as steps."
            )
            path = run.figures / f"{toy}-{study}.png"
            pictures.append(Picture(_staircases(path, of_study, toys, config.span), caption))
    return Section(f"{toy.capitalize()} pairs", tables=tables, pictures=pictures)


def _table(
    what: str,
    statistic: str,
    toy: Toy,
    measured: Mapping[str, Summary],
    toys: Toys,
    config: EvaluateConfig,
    published: Mapping[str, Sequence[float]],
) -> Table:
    """A row per estimator, a column per level, with a row of published numbers below where there are any."""
    rows: list[list[Cell]] = []
    for name, item in measured.items():
        rows.append([name, *map(Interval.of, getattr(item, statistic).T)])
        if name in published:
            rows.append([f"{name}, published", *published[name]])
    caption = f"{what} of the last {config.window} estimates of each level on {toy} pairs, in nats"
    note = OVER_SEEDS
    if published:
        note += " Published: read off the figure of CLUB's official notebook."
    return Table(caption, ["", *(f"{level:g} nats" for level in toys.levels)], rows, note)


def _staircases(path: Path, measured: Mapping[str, Summary], toys: Toys, span: int) -> Path:
    shown = {}
    for name, item in measured.items():
        steps = len(item.estimates)
        truth = np.repeat(np.asarray(toys.levels, np.float64), steps // len(toys.levels))
        ceiling = ("log K", math.log(toys.batch_size)) if name in CONTRASTIVE else None
        shown[name.partition("/")[2]] = Staircase(np.arange(1, steps + 1), truth, item.estimates, ceiling)
    return staircases(path, shown, span, "nats")


def _under_fitted_section(run: RunDirectory, measured: Mapping[str, Summary], toys: Toys) -> Section:
    """CLUB's finding that its paper does not tell: the small bias is that of a q which under-fits."""
    levels, size = np.asarray(toys.levels), toys.batch_size
    exact = analytic_club(levels, toys.dim) * (size - 1) / size
    shown = {
        "CLUB, q as published": measured["club/CLUB"].mean,
        "CLUB, wide q": measured["club/CLUB, wide q"].mean,
        "CLUB with the true p(y|x), analytic": exact[None],
        "true mutual information": levels[None],
    }
    columns = ["", *(f"{level:g} nats" for level in levels)]
    rows: list[list[Cell]] = [
        [name, *(map(Interval.of, values.T) if name.endswith(" q") or "published" in name else values[0])]
        for name, values in shown.items()
    ]
    text = (
        "CLUB is an upper bound with the true conditional, and a loose one: d rho^2 / (1 - rho^2) nats, times "
        f"(K - 1)/K since the pairs of a batch of {size} count the joint ones. The small bias of the published figure "
        "comes from a q(y|x) that is too small to fit: with enough hidden units the estimate goes to the analytic "
        "value. Where q under-fits, the estimate can be below the truth: it is then no upper bound."
    )
    caption = "CLUB at the end of each level by how well q(y|x) fits, beside its analytic value, with 95 % intervals."
    picture = bands(
        run.figures / "under-fitted-conditional.png",
        {"Gaussian pairs": Panel(levels if np.any(levels % 1) else levels.astype(int), shown)},
        "true mutual information in nats",
        "nats",
    )
    table = Table("CLUB with an under-fitted and a fitted conditional, in nats", columns, rows)
    return Section("The under-fitted conditional", [text], [table], [Picture(picture, caption)])


def _sides_section(sides: Mapping[str, str]) -> Section:
    caption = "The side of the truth that an estimate is on, in expectation"
    return Section("What is a bound", tables=[Table(caption, ["", "side"], list(sides.items()))])


def _seconds_table(measured: Mapping[Stage, Summary]) -> Table:
    rows = [
        [f"{stage.toy}, {stage.estimator}", stage.steps, item.estimates.shape[1], item.end.seconds]
        for stage, item in measured.items()
    ]
    note = "All seeds, with compilation and writing; of a resumed estimator since it was resumed."
    return Table("Seconds of training", ["", "steps", "seeds", "seconds"], rows, note)


def _summary(measured: Mapping[Stage, Summary], toys: Toys) -> list[str]:
    seeds = next(iter(measured.values())).mean.shape[0]
    lines = []
    for toy in dict.fromkeys(stage.toy for stage in measured):
        mse = {stage.estimator: item.mse.mean() for stage, item in measured.items() if stage.toy == toy}
        mse = {name: value for name, value in mse.items() if math.isfinite(value)}
        if not mse:
            continue
        best = min(mse, key=lambda name: mse[name])
        lines.append(
            f"On {toy} pairs the mean squared error over all levels is least for {best}: {mse[best]:.2f} nats squared."
        )
    return [*lines, f"{len(measured)} trainings of {seeds} seed{'s' if seeds > 1 else ''} each."]


def _notes(measured: Mapping[Stage, Summary], config: EvaluateConfig) -> list[str]:
    notes = [
        "Each estimate is on a fresh batch, before the update on that batch.",
        f"Variance is over the last {config.window} estimates of a level, which are correlated, as in CLUB's notebook.",
        "Only lower bounds with any critic and upper bounds with the true conditional are bounds; a small error alone "
        "does not make one.",
    ]
    notes += [
        f"{stage.estimator} on {stage.toy} pairs diverged: {item.end.diverged}. It has no numbers from there on."
        for stage, item in measured.items()
        if item.end.diverged
    ]
    if any(stage.estimator == "club/L1Out, coded" for stage in measured):
        notes.append(
            "`L1Out, coded` is what CLUB's code computes under that name: CLUB itself. L1Out is the bound."
        )
    if any(stage.estimator.startswith("poole/") for stage in measured):
        notes.append(
            "Poole's notebook begins with a single step at 0 nats; here all steps are at the levels."
        )
    return notes
