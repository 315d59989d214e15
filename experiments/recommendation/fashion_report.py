"""The table, pictures and page of a comparison of visual recommenders."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.recommendation import report
from experiments.recommendation.fashion_data import DataConfig, in_words
from experiments.recommendation.fashion_measures import NAMES, AucComparison, TrainedStage, evidence, measure
from experiments.recommendation.fashion_style import Style, agreements, style_section
from experiments.recommendation.fashion_training import EvaluateConfig, catalogue
from experiments.recommendation.report import Ranked
from experiments.run_report import titled
from experiments.session import Findings
from train.data.fashion import FashionData
from train.data.fashion_world import NAME as EMBEDDED
from train.metrics.auc import Ties, of_cold_items, per_user
from train.report.figures import Panel, bands
from train.report.report import Picture, Section
from train.report.tables import Interval, Table
from train.run_directory import RunDirectory

AUC, COLD_AUC = "AUC", "AUC, cold items"
EDGES = (0, 1, 2, 5, 10, 20, 40, 80)
"""Training records at which a group of items begins, in the picture over popularity."""


class Protocol(NamedTuple):
    """How the AUC came about, for the notes."""

    ties: Ties
    cold: int
    held: str


def ranked(data: FashionData, measured: AucComparison, protocol: Protocol) -> list[Ranked]:
    """All models of the comparison, simple ones first; without the second metric where no test item is cold."""
    clicks, held = jnp.asarray(data.clicks()), jnp.asarray(data.test)

    def of(
        name: str, values: Float[np.ndarray, "seeds users k"], note: str, baseline: bool = False
    ) -> Ranked:
        cold = of_cold_items(jnp.asarray(values), held, clicks, protocol.cold)
        metrics = {AUC: jnp.asarray(values), **({COLD_AUC: cold} if jnp.isfinite(cold).any() else {})}
        return Ranked(
            name, {metric: np.asarray(per_user(auc)) for metric, auc in metrics.items()}, note, baseline
        )

    simple = [of(name, values, "", True) for name, values in measured.baselines.items()]
    models = [
        of(NAMES[kind], values, f"lambda {measured.trained[measured.chosen[kind]].settings.l2_factors:g}")
        for kind, values in measured.test.items()
    ]
    return simple + models


def findings(
    run: RunDirectory,
    data: FashionData,
    trained: Mapping[str, TrainedStage],
    source: DataConfig,
    evaluate: EvaluateConfig,
) -> Findings:
    """Chooses each model's penalty on validation records, measures on test records, and draws."""
    items, protocol = catalogue(data), Protocol(evaluate.ties, evaluate.cold, source.held)
    measured = measure(data, items, trained, protocol.ties)
    models = ranked(data, measured, protocol)
    metrics = tuple(models[0].metrics)
    sections = [
        *differences(models, metrics),
        _popularity_section(run.figures / "popularity.png", data, measured),
        _search(measured),
    ]
    results: dict[str, Any] = {
        "data": data.name,
        "chosen": measured.best(),
        "validation": {stage: values.tolist() for stage, values in measured.validation.items()},
        "dropped": dict(data.dropped),
    }
    if "deepstyle" in measured.chosen:
        style = Style.of(data, items, trained[measured.chosen["deepstyle"]])
        sections.append(style_section(run.figures, data, style))
        results["neighbours"] = agreements(data, style)
    return report.findings(
        run,
        titled(" and ".join(NAMES[kind] for kind in measured.chosen), in_words(source)),
        models,
        metrics,
        summary=list(filter(None, [evidence(data).warning()])),
        notes=_notes(data, protocol),
        sections=sections,
        results=results,
    )


def differences(models: Sequence[Ranked], metrics: Sequence[str]) -> list[Section]:
    """Each trained model less the ones before it, user by user."""
    trained = [model for model in models if model.name in NAMES.values()]
    rows = []
    for place, model in enumerate(trained):
        for other in trained[:place]:
            cells = [Interval.of(model.per_case(metric) - other.per_case(metric)) for metric in metrics]
            rows.append([f"{model.name} - {other.name}", *cells])
    if not rows:
        return []
    caption = (
        "Differences of AUC, paired by user: mean over users of the mean over seeds, with 95 % intervals"
    )
    return [Section("Differences", tables=[Table(caption, ["", *metrics], rows)])]


def _popularity_section(path: Path, data: FashionData, measured: AucComparison) -> Section:
    clicks = np.append(data.clicks(), -1)[data.test]
    group = np.searchsorted(EDGES, clicks, side="right") - 1
    groups = [g for g in range(len(EDGES)) if (group == g).any()]

    def curve(values: Float[np.ndarray, "seeds users k"]) -> Float[np.ndarray, "seeds groups"]:
        return np.stack([np.nanmean(values[:, group == g], axis=1) for g in groups], axis=1)

    curves = {name: curve(values) for name, values in measured.baselines.items()}
    curves |= {NAMES[kind]: curve(values) for kind, values in measured.test.items()}
    x = np.asarray([math.log2(1 + EDGES[g]) for g in groups])
    counts = ", ".join(f"{EDGES[g]}: {int((group == g).sum()):,}" for g in groups)
    caption = (
        "Mean AUC of held-out items by their training records; a point stands at the least number of its group, on "
        f"the axis log2(1 + records). Band: 95 % interval over seeds. Held-out items from that number on: {counts}."
    )
    panel = {"AUC by popularity": Panel(x, curves, limits=(0, 1))}
    return Section(
        "Popularity", pictures=[Picture(bands(path, panel, "log2(1 + training records)", "AUC"), caption)]
    )


def _search(measured: AucComparison) -> Section:
    rows = []
    for stage, one in measured.trained.items():
        mark = "chosen" if measured.chosen[one.settings.kind] == stage else ""
        steps = float(np.mean(np.asarray(one.state.step)))
        cells = [f"{one.settings.l2_factors:g}", Interval.of(measured.validation[stage]), steps, mark]
        rows.append([NAMES[one.settings.kind], *cells])
    columns = ["", "lambda", "validation AUC", "updates, mean over seeds", ""]
    return Section("Choice", tables=[Table("What validation records chose", columns, rows)])


def _notes(data: FashionData, protocol: Protocol) -> list[str]:
    notes = [
        f"Data: {data.name}, {data.users:,} users, {data.items:,} items of {len(data.category_names)} categories, "
        f"{data.train.nnz:,} training records; one record of each user chose, "
        + ("one is the test." if protocol.held == "leave-one-out" else "the file names the test records."),
        "AUC of a held-out item: the share of the items without any record of the user that score lower. "
        + ("Equal scores do not count." if protocol.ties == "strict" else "Equal scores count one half."),
        f"Cold items have fewer than {protocol.cold} training records: "
        f"{int((data.clicks() < protocol.cold).sum()):,} of {data.items:,}.",
        f"Penalty and number of updates were chosen on validation records of {evidence(data)}: nothing was chosen on "
        "test records.",
    ]
    notes += [f"Left out: {count:,} {what}." for what, count in data.dropped.items() if count]
    if data.name == EMBEDDED:
        notes.append(
            "The users are simulated with a taste within categories, which is DeepStyle's own assumption: its lead is "
            "built in by construction, and is not evidence about photographs."
        )
    return notes
