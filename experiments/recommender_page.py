"""The pictures and the page of a run on users x items."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Num

from experiments.recommender_data import Data
from experiments.recommender_measures import BUCKETS, Setting, bucket_metric
from experiments.recommender_report import About, Ranked, write_everything
from train.data.interactions import size
from train.data.simulated_users import NAME as EMBEDDED
from train.figures import Panel, bands
from train.figures.points import Point, points
from train.metrics.intervals import mean_interval
from train.report import Picture, Section
from train.run_directory import RunDirectory
from train.tables import Table


class Curve(NamedTuple):
    """Validation over training: updates or epochs, and the criterion of each seed after each."""

    steps: Num[np.ndarray, " evaluations"]
    values: Float[np.ndarray, "seeds evaluations"]

    def best(self) -> Float[np.ndarray, " seeds"]:
        """The best of each seed; NaN where there was no evaluation, as of weights from elsewhere."""
        return self.values.max(1) if self.values.size else np.full(len(self.values), np.nan)


def write_page(
    run: RunDirectory,
    data: Data,
    setting: Setting,
    models: Sequence[Ranked],
    curves: Mapping[str, Curve],
    about: About,
    results: Mapping[str, Any],
) -> None:
    """results.json, figures, report.html; prints the table.

    Args:
      run: where to.
      data: what was trained and tested on.
      setting: how.
      models: the baselines and the run's models.
      curves: validation of the run's models by name, over epochs.
      about: title, notes and settings of the page.
      results: entries of results.json besides the models and the data.
    """
    run.figures.mkdir(exist_ok=True)
    sections = [
        Section("Training", pictures=[_validation(run, setting, curves)]),
        Section("Popularity", pictures=[_by_popularity(run, data, models)]),
        Section("Data", tables=[data_table(data)]),
    ]
    if data.name == EMBEDDED:
        note = "The users are simulated: numbers on them are not comparable with any published benchmark."
        about = About(**{**vars(about), "notes": [*about.notes, note]})
    counted = {"data": data.name, "counts": dict(data.counts), "sizes": dict(_sizes(data))}
    write_everything(run, models, setting.metrics, about, sections, {**results, **counted})


def data_table(data: Data) -> Table:
    """How much there is, and what was left out."""
    rows = [[what, count] for what, count in (*data.counts, *_sizes(data))]
    return Table(f"Data: {data.name}", ["", "number"], rows)


def _sizes(data: Data) -> list[tuple[str, int]]:
    split = data.split
    out = [
        ("items", len(data.item_ids)),
        ("training users", size(split.train)[0]),
        ("training interactions", split.train.nnz),
    ]
    if split.final is not None:
        out.append(("training interactions of the tested models", split.final.nnz))
    for name, part in (("validation", split.validation), ("test", split.test)):
        ranked = int((np.diff(part.held.indptr) > 0).sum())
        out += [
            (f"{name} users", len(part.user)),
            (f"{name} users without an item to be found, who don't count", len(part.user) - ranked),
            (f"{name} interactions to be found", part.held.nnz),
        ]
    return out


def _validation(run: RunDirectory, setting: Setting, curves: Mapping[str, Curve]) -> Picture:
    shown = {
        name: Panel(curve.steps, {f"validation {setting.criterion}": curve.values}, limits=(0, 1))
        for name, curve in curves.items()
    }
    caption = (
        f"{setting.criterion} on validation data while the models trained, mean and 95 % interval over seeds. "
        "It chose what was tested."
    )
    return Picture(bands(run.figures / "validation.png", shown, "epochs", setting.criterion), caption)


def _by_popularity(run: RunDirectory, data: Data, models: Sequence[Ranked]) -> Picture:
    def point(model: Ranked, bucket: str) -> Point:
        mean, half = mean_interval(model.per_case(bucket_metric(bucket)))
        return Point(float(mean), float(half), tuple(model.per_seed(bucket_metric(bucket))))

    measured = [name for name in BUCKETS if len(models[0].per_case(bucket_metric(name)))]
    shown = {bucket_metric(name): {model.name: point(model, name) for model in models} for name in measured}
    caption = (
        "Share of a user's held-out items that are found, for items of three kinds: in the order of their training "
        "users, cut so that each kind has a third of all interactions. Mean and 95 % interval over users who have such "
        "an item."
    )
    return Picture(points(run.figures / "popularity.png", shown), caption)
