"""What the recommenders report: one table of models with intervals over users and seeds, pictures, a page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments import cli
from experiments.session import Findings
from train.metrics.intervals import mean_interval
from train.report.figures.points import Point, points
from train.report.report import Picture, Section
from train.report.tables import Interval, Table
from train.run_directory import RunDirectory


@dataclass(frozen=True)
class Ranked:
    """One model of a comparison.

    Attributes:
      name: of the model, with what was chosen for it.
      metrics: each metric's value by seed and by case (a user, or a prediction in a session), NaN where it is
        undefined; what knows no seeds has one.
      note: of how it was trained or chosen, for the table's last column.
      baseline: it is there to be compared with, and not what the run trained.
    """

    name: str
    metrics: Mapping[str, Float[np.ndarray, "seeds cases"]]
    note: str = ""
    baseline: bool = False

    def per_seed(self, metric: str) -> Float[np.ndarray, " seeds"]:
        """The mean over cases of each seed, NaN where no case is defined."""
        values = np.asarray(self.metrics[metric], np.float64)
        means, measured = np.full(len(values), np.nan), ~np.isnan(values).all(1)
        means[measured] = np.nanmean(values[measured], axis=1)
        return means

    def per_case(self, metric: str) -> Float[np.ndarray, " defined"]:
        """The mean over seeds of each case where the metric is defined."""
        values = np.asarray(self.metrics[metric], np.float64)
        return values[:, np.isfinite(values).all(0)].mean(0)


@dataclass(frozen=True)
class Published:
    """Numbers that others published of a model.

    Attributes:
      source: where, such as "the paper".
      data: the data set that they are of.
      metrics: each number by its metric's name.
    """

    source: str
    data: str
    metrics: Mapping[str, float]


def comparison(
    title: str, models: Sequence[Ranked], metrics: Sequence[str], case: str = "user"
) -> list[Table]:
    """The models' means with 95 % intervals over cases and, where a model has several seeds, a table over seeds.

    Args:
      title: the caption.
      models: in the order of the rows.
      metrics: in the order of the columns.
      case: what a metric is measured on, in the singular.

    Raises:
      ValueError: a model lacks a metric, or two models were measured on different cases.
    """
    _check_same_cases(models, metrics)
    rows = [[model.name, *(Interval.of(model.per_case(metric)) for metric in metrics)] for model in models]
    note = f"Mean with its 95 % interval over {case}s (of each {case}'s mean over seeds)."
    remarks = [f"{model.name}: {model.note}." for model in models if model.note]
    several = [model for model in models if len(model.metrics[metrics[0]]) > 1]
    tables = [Table(title, ["", *metrics], rows, note, remarks=remarks)]
    if several:
        seeds = [
            [model.name, *(Interval.of(model.per_seed(metric)) for metric in metrics)] for model in several
        ]
        note = f"Mean with its 95 % interval over the seeds (of each seed's mean over {case}s)."
        tables.append(Table("How much the seed changes the trained models", ["", *metrics], seeds, note))
    return tables


def published_table(published: Mapping[str, Published], metrics: Sequence[str]) -> Table:
    """Published numbers, each with the data set it is of, set apart from those of the run."""
    rows = [
        [model, one.data, one.source, *(one.metrics.get(metric, math.nan) for metric in metrics)]
        for model, one in published.items()
    ]
    data = ", ".join(dict.fromkeys(one.data for one in published.values()))
    caption = f"Published elsewhere, on {data}: none of these numbers is from this run"
    note = "They compare with the run's only where the data, their filters and their split are the same."
    return Table(caption, ["model", "data set", "source", *metrics], rows, note, apart=True)


def findings(
    run: RunDirectory,
    title: str,
    models: Sequence[Ranked],
    metrics: Sequence[str],
    *,
    case: str = "user",
    summary: Sequence[str] = (),
    notes: Sequence[str] = (),
    sections: Sequence[Section] = (),
    results: Mapping[str, Any] | None = None,
    published: Mapping[str, Published] | None = None,
) -> Findings:
    """The comparison as a page, with figures/comparison.png; what came out is the headline.

    Args:
      run: where figures go.
      title: of the page.
      models: all of the comparison, the run's own and the baselines.
      metrics: the columns of the table; the first decides the order of the picture's panels.
      case: what a metric is measured on, in the singular.
      summary: sentences below the headline.
      notes: what a reader must know to read the numbers.
      sections: of the experiment's own, below the comparison.
      results: entries of results.json besides the models.
      published: published numbers by model, for a table of their own below the run's.
    """
    tables = comparison(title, models, metrics, case)
    if published:
        tables.append(published_table(published, metrics))
    outcome = headline(models, metrics[0], case)
    for sentence in outcome:
        cli.say(sentence)
    first = Section("Comparison", tables=tables, pictures=[_picture(run, models, metrics, case)])
    return Findings(
        title,
        [*outcome, *summary],
        [first, *sections],
        {**(results or {}), "models": numbers(models)},
        notes,
        tables,
    )


def numbers(models: Sequence[Ranked]) -> dict[str, Any]:
    """Of every model and metric the mean per seed, and the mean with its interval over cases, for JSON.

    None stands for what no case defines, as the recall of a popularity bucket without any held-out item.
    """

    def number(value: float | np.ndarray) -> float | None:
        return None if math.isnan(value) else float(value)

    def of(model: Ranked, metric: str) -> dict[str, Any]:
        values = model.per_case(metric)
        mean, half = mean_interval(values) if len(values) else (math.nan, math.nan)
        return {
            "mean": number(mean),
            "half_width": number(half),
            "cases": len(values),
            "seeds": [number(mean) for mean in model.per_seed(metric)],
        }

    return {
        model.name: {"note": model.note, **{metric: of(model, metric) for metric in model.metrics}}
        for model in models
    }


def _check_same_cases(models: Sequence[Ranked], metrics: Sequence[str]) -> None:
    for metric in metrics:
        for model in models:
            if metric not in model.metrics:
                raise ValueError(f"{model.name} has no {metric}, only {', '.join(model.metrics)}")
        defined = [np.isfinite(model.metrics[metric]).all(0) for model in models]
        for model, mask in zip(models, defined, strict=True):
            if not np.array_equal(mask, defined[0]):
                raise ValueError(f"{metric} of {model.name} and of {models[0].name} are of different cases")


def _picture(run: RunDirectory, models: Sequence[Ranked], metrics: Sequence[str], case: str) -> Picture:
    def point(model: Ranked, metric: str) -> Point:
        mean, half = mean_interval(model.per_case(metric))
        return Point(float(mean), float(half), tuple(model.per_seed(metric)))

    shown = {metric: {model.name: point(model, metric) for model in models} for metric in metrics}
    caption = f"Mean and 95 % interval over {case}s; small marks are single seeds."
    return Picture(points(run.figures / "comparison.png", shown), caption)


def headline(models: Sequence[Ranked], metric: str, case: str = "user") -> list[str]:
    """What came out: the highest metric, and whether the best trained model is ahead of the best baseline.

    The difference is taken case by case, over those where both are defined.
    """
    best = _highest(models, metric)
    said = [f"Highest {metric}: {best.name}, {best.per_case(metric).mean():.4f}."]
    own, simple = ([m for m in models if m.baseline is baseline] for baseline in (False, True))
    if not own or not simple:
        return said
    model, baseline = _highest(own, metric), _highest(simple, metric)
    mean, half = mean_interval(model.per_case(metric) - baseline.per_case(metric))
    numbers_ = f"{model.per_case(metric).mean():.4f} against {baseline.per_case(metric).mean():.4f}"
    if mean <= 0:
        said.insert(
            0,
            f"No trained model is better than a baseline: {metric} of {model.name}, the best, is {numbers_} of "
            f"{baseline.name}.",
        )
    elif not half < mean:
        said.insert(
            0,
            f"The best trained model can't be told from a baseline: {metric} of {model.name} is {numbers_} of "
            f"{baseline.name}, a difference of {mean:.4f} with a 95 % interval of {half:.4f} to either side over "
            f"{case}s.",
        )
    return said


def _highest(models: Sequence[Ranked], metric: str) -> Ranked:
    return max(models, key=lambda model: float(model.per_case(metric).mean()))
