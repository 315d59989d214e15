"""Measuring the models of a run on users x items on test users; its pictures and what came out."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.recommendation.choice import announce, evidence, validation_score
from experiments.recommendation.data import Data, in_words
from experiments.recommendation.measures import (
    BUCKETS,
    Setting,
    baselines,
    bucket_metric,
    note_of,
    on_test_users,
)
from experiments.recommendation.report import Published, Ranked, findings
from experiments.recommendation.training import (
    RunConfig,
    Validated,
    steps_per_epoch,
)
from experiments.run_report import titled
from experiments.session import Findings
from train import seeds
from train.data.interactions import size
from train.data.simulated_users import NAME as EMBEDDED
from train.metrics.intervals import mean_interval
from train.report.figures import Panel, bands
from train.report.figures.points import Point, points
from train.report.report import Picture, Section
from train.report.tables import Table
from train.run_directory import RunDirectory


def measured(
    run: RunDirectory,
    config: RunConfig,
    data: Data,
    trained: Sequence[Validated],
    setting: Setting,
    what: str = "",
    summary: Sequence[str] = (),
    published: Mapping[str, Published] | None = None,
) -> Findings:
    """Models and baselines on test users, with figures.

    Args:
      run: where figures go.
      config: of the run.
      data: what was trained on.
      trained: the run's models.
      setting: how it is measured.
      what: was trained, for the title (empty: the models).
      summary: sentences below the headline.
      published: published numbers by model, which simulated users are not compared with.
    """
    setting, choice = setting.at(config.evaluate.ks), evidence(data)
    announce("baselines: their settings are chosen", choice)
    models = baselines(data, setting, config.evaluate)
    models += [_ranked(one, data, setting) for one in trained]
    notes = [*setting.notes, f"Validation data, which chose: {choice}."]
    if data.name.startswith(EMBEDDED):
        notes.append(
            "The users are simulated: numbers on them are not comparable with any published benchmark."
        )
    results = {
        "seeds": [config.seed + i for i in range(config.seeds)],
        "steps": {one.system.title: np.asarray(one.state.step).tolist() for one in trained},
        "chosen on": {f"{choice.case}s": choice.cases, "events": choice.events},
        "validation": {
            one.system.title: one.curve.best().tolist() for one in trained if one.curve.values.size
        },
    }
    counted = {"data": data.name, "counts": dict(data.counts), "sizes": dict(_sizes(data))}
    sections = [
        Section("Training", pictures=[_validation(run, data, setting, trained)]),
        Section("Popularity", pictures=[_by_popularity(run, data, models)]),
        Section("Data", tables=[data_table(data)]),
    ]
    return findings(
        run,
        titled(what or " and ".join(one.system.title for one in trained), in_words(config.data)),
        models,
        setting.metrics,
        summary=[*summary, *filter(None, [choice.warning()])],
        notes=notes,
        sections=sections,
        results={**results, **counted},
        published=None if config.data.source == "simulated" else published,
    )


def _ranked(one: Validated, data: Data, setting: Setting) -> Ranked:
    system = one.system
    return on_test_users(
        system.title,
        system.scores,
        [seeds.unstack(one.state.params, index) for index in range(system.config.seeds)],
        data,
        setting,
        system.config.evaluate.batch_size,
        system.width,
        note_of(system.note, setting, validation_score(one.curve, setting)),
    )


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


def _validation(run: RunDirectory, data: Data, setting: Setting, trained: Sequence[Validated]) -> Picture:
    def panel(one: Validated) -> Panel:
        each = steps_per_epoch(size(data.split.train)[0], one.system.limits.batch_size)
        values = {f"validation {setting.criterion}": one.curve.values}
        return Panel(one.curve.steps / each, values, limits=(0, 1))

    shown = {one.system.title: panel(one) for one in trained}
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
