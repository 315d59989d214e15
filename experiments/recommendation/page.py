"""Measuring the models of a run on users x items on test users; its pictures and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from experiments.recommendation.choice import announce
from experiments.recommendation.data import Data
from experiments.recommendation.measures import (
    BUCKETS,
    Setting,
    baselines,
    bucket_metric,
    note_of,
    on_test_users,
)
from experiments.recommendation.report import About, Ranked, write_everything
from experiments.recommendation.training import (
    Curve,
    RunConfig,
    Trained,
    evidence,
    steps_per_epoch,
    validation_score,
)
from train import seeds
from train.data.interactions import size
from train.data.simulated_users import NAME as EMBEDDED
from train.figures import Panel, bands
from train.figures.points import Point, points
from train.metrics.intervals import mean_interval
from train.report import Picture, Section
from train.run_directory import RunDirectory
from train.tables import Table


def measure_and_report(
    run: RunDirectory,
    config: RunConfig,
    data: Data,
    trained: Sequence[Trained],
    setting: Setting,
    about: About,
) -> None:
    """Measures the models and the baselines on test users, and writes results, figures and report."""
    if jax.process_index() != 0:
        return
    setting, choice = setting.at(config.evaluate.ks), evidence(data)
    announce("baselines: their settings are chosen", choice)
    models = baselines(data, setting, config.evaluate)
    for one in trained:
        params = [seeds.unstack(one.state.params, index) for index in range(config.seeds)]
        note = note_of(one.system.note, setting, validation_score(one.curve, setting))
        at_a_time = config.evaluate.batch_size
        models.append(
            on_test_users(
                one.system.name, one.system.scores, params, data, setting, at_a_time, one.width, note
            )
        )
    results = {
        "seeds": [config.seed + i for i in range(config.seeds)],
        "steps": {one.system.name: np.asarray(one.state.step).tolist() for one in trained},
        "chosen on": {f"{choice.case}s": choice.cases, "events": choice.events},
        "validation": {
            one.system.name: one.curve.best().tolist() for one in trained if one.curve.values.size
        },
    }
    each = steps_per_epoch(size(data.split.train)[0], config.train.batch_size)
    about = replace(
        about,
        summary=[*about.summary, *filter(None, [choice.warning()])],
        notes=[*about.notes, f"Validation data, which chose: {choice}."],
    )
    curves = {one.system.name: Curve(one.curve.steps / each, one.curve.values) for one in trained}
    write_page(run, data, setting, models, curves, about, results)


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
    if data.name.startswith(EMBEDDED):
        note = "The users are simulated: numbers on them are not comparable with any published benchmark."
        about = replace(about, notes=[*about.notes, note])
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
