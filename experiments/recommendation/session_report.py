"""The numbers, pictures, tables and page of a run of `gru4rec_sessions`."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.recommendation import report, serving, training
from experiments.recommendation.choice import Evidence
from experiments.recommendation.report import Published, Ranked
from experiments.recommendation.session_data import (
    Log,
    evidence,
    number_stage,
    validation_days,
    validation_part,
)
from experiments.recommendation.session_training import (
    CRITERION,
    EvaluateConfig,
    Places,
    System,
    Trained,
    measure,
)
from experiments.run_report import titled
from train.data.sessions import SessionData
from train.figures.bands import Panel, bands
from train.figures.loss_curves import Curve, curves
from train.metrics.session_baselines import (
    Scores,
    baseline_places,
    first_order_markov,
    item_neighbours,
    popularity,
    session_popularity,
)
from train.metrics.sessions import ranks, session_metrics
from train.metrics_log import read_metrics
from train.report import Picture, Section, Settings
from train.run_directory import RunDirectory
from train.tables import Table

NAMES = {
    "xe": "GRU4Rec, cross-entropy",
    "bpr-max": "GRU4Rec, BPR-max",
    "top1-max": "GRU4Rec, TOP1-max",
    "bpr": "GRU4Rec, BPR",
    "top1": "GRU4Rec, TOP1",
}
PUBLISHED = {
    "GRU4Rec, cross-entropy": Published(
        "README of the official code",
        "all of RSC15",
        {
            "recall@5": 0.4906,
            "recall@10": 0.6218,
            "recall@20": 0.7283,
            "mrr@5": 0.2954,
            "mrr@10": 0.3130,
            "mrr@20": 0.3205,
        },
    ),
    "GRU4Rec, BPR-max": Published(
        "run script of the official code", "all of RSC15", {"recall@20": 0.7261, "mrr@20": 0.3124}
    ),
}
"""Of all of RSC15, from the repository of the official code."""
LONGEST, ENOUGH = 12, 30
"""Positions in a session that the figure shows: up to here, with at least so many predictions."""


class About(NamedTuple):
    """What the page says of data and settings, and whether published numbers are of a log like this one."""

    data: str
    settings: Settings
    reference: Settings
    published: bool


def write_catalogue(run: RunDirectory, data: SessionData) -> None:
    """Keeps the items' identifiers in the run, for serving."""
    if jax.process_index() == 0:
        content = {"items": [str(name) for name in data.item_ids], "users": len(data.train)}
        serving.keep_catalogue(run, content)


def write_everything(run: RunDirectory, log: Log, trained: Sequence[Trained], about: About) -> None:
    """Measures models and baselines on the test part, and writes results.json, figures and report.html."""
    data, judged = number_stage(log.train, log.test), trained[0].system.evaluate
    system = trained[0].system
    choice = evidence(validation_part(log, system.data)) if system.chooses else None
    models = [*(_ranked(one, data, choice) for one in trained), *baselines(data, judged)]
    run.figures.mkdir(exist_ok=True)
    sections = [
        Section("Along a session", pictures=[_by_position(run, data, models, judged.at[-1])]),
        Section("Training", pictures=_training(run, [one.system for one in trained])),
        Section("Data", tables=[_counts(data, log)]),
    ]
    report.write_everything(
        run,
        models,
        [f"{name}@{n}" for n in reversed(judged.at) for name in ("recall", "mrr")],
        report.About(
            title=titled("GRU4Rec", about.data),
            summary=[_sizes(data), *filter(None, [choice and choice.warning()])],
            notes=_notes(trained[0].system, choice),
            settings=about.settings,
            reference=about.reference,
            published=PUBLISHED if about.published else {},
        ),
        sections,
        {
            "chosen on": {} if choice is None else {"sessions": choice.cases, "events": choice.events},
            "epochs": {one.system.loss: one.epochs for one in trained},
            "ties": judged.ties,
        },
        case="prediction",
    )


def baselines(data: SessionData, judged: EvaluateConfig) -> list[Ranked]:
    """Popularity, S-POP, item-KNN and Markov on the test part."""
    train, test = data.train, data.test
    sessions = np.repeat(np.arange(len(train)), train.lengths)
    every: dict[str, Scores] = {
        "popularity": popularity(data.support),
        "S-POP": session_popularity(data.support, test.items, test.positions),
        "item-KNN": item_neighbours(train.items, sessions, data.support, test.items),
        "first-order Markov": first_order_markov(train.items, train.positions, data.support, test.items),
    }
    found = []
    for name, scores in every.items():
        places = Places(*(a[None] for a in baseline_places(scores, test.items, test.positions)))
        found.append(Ranked(name, _metrics(places, judged), baseline=True))
    return found


def _ranked(one: Trained, data: SessionData, choice: Evidence | None) -> Ranked:
    judged = one.system.evaluate
    chosen = f", chosen on validation, {choice}" if choice else ""
    metrics = _metrics(measure(one, data), judged)
    return Ranked(NAMES[one.system.loss], metrics, f"{one.epochs:.3g} epochs{chosen}")


def _metrics(places: Places, judged: EvaluateConfig) -> dict[str, Float[np.ndarray, "seeds predictions"]]:
    rank = ranks(jnp.asarray(places.above), jnp.asarray(places.level), judged.ties)
    return {name: np.asarray(values) for name, values in session_metrics(rank, judged.at).items()}


def _by_position(run: RunDirectory, data: SessionData, models: Sequence[Ranked], n: int) -> Picture:
    """Recall by how many events came before, where there are enough predictions."""
    position = data.test.positions[data.test.positions > 0]
    often = np.bincount(position)[1 : LONGEST + 1] >= min(ENOUGH, (position == 1).sum())
    places = 1 + np.flatnonzero(often)

    def along(values: Float[np.ndarray, "seeds predictions"]) -> Float[np.ndarray, "seeds places"]:
        return np.stack([values[:, position == place].mean(1) for place in places], axis=1)

    shown = {model.name: along(np.asarray(model.metrics[f"recall@{n}"])) for model in models}
    # A panel has colours for six curves.
    names = list(shown)
    parts = {"all models": names} if len(names) <= 6 else {"trained": names[:-4], "baselines": names[-4:]}
    panels = {
        title: Panel(places, {name: shown[name] for name in part}, limits=(0, 1))
        for title, part in parts.items()
    }
    path = bands(run.figures / "positions.png", panels, "events of the session before", f"Recall@{n}")
    share = np.isin(position, places).mean()
    caption = (
        f"Recall@{n} by place in the session, mean over predictions, for {share:.0%} of them; bands are 95 % intervals "
        "over seeds."
    )
    return Picture(path, caption)


def _training(run: RunDirectory, systems: Sequence[System]) -> list[Picture]:
    losses = {}
    for one in systems:
        steps, values = read_metrics(run.in_stage(one.stages[1]).metrics)["row_loss"]
        losses[NAMES[one.loss]] = Curve(steps, values)
    caption = (
        "Mean loss of a row in training on all training sessions; scales of different losses don't compare."
    )
    pictures = [Picture(curves(run.figures / "losses.png", losses), caption)]
    if systems[0].chooses:
        shown = {}
        for one in systems:
            values = training.read_curve(run.in_stage(one.stages[0]), CRITERION).values
            shown[NAMES[one.loss]] = Panel(np.arange(1, values.shape[1] + 1), {"validation": values})
        path = bands(run.figures / "validation.png", shown, "epochs", CRITERION.upper())
        caption = "MRR in the last days of the training part, which chose the number of epochs: mean and 95 % interval."
        pictures.append(Picture(path, caption))
    return pictures


def _counts(data: SessionData, log: Log) -> Table:
    rows = [[what, count] for what, count in log.counts.items()]
    rows += [
        ["test events of items that are not in the training part, dropped", data.unseen],
        ["test events of sessions that were left with one, dropped", data.short],
    ]
    return Table("What was read, dropped and mended", ["", "events"], rows)


def _sizes(data: SessionData) -> str:
    train, test = data.train, data.test
    return (
        f"{len(train):,} training sessions of {len(train.items):,} events and {len(data.item_ids):,} items; "
        f"{len(test):,} test sessions with {len(test.items) - len(test):,} predictions."
    )


def _notes(system: System, choice: Evidence | None) -> list[str]:
    ties = {
        "conservative": "equal scores count against the target",
        "standard": "equal scores count in favour of the target, which flatters models with many ties",
        "median": "among equal scores the target stands in the middle",
    }
    notes = [
        "Every event but the first of a test session is predicted and ranked among all training items; "
        + ties[system.evaluate.ties]
        + ".",
        "Intervals over predictions take them as independent, which those of one session are not quite.",
    ]
    if choice:
        notes.append(
            f"The number of epochs was chosen in the last {validation_days(system.data):g} days of the training part, "
            f"on {choice}; nothing was chosen on test sessions."
        )
    return notes
