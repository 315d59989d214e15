"""Recommends items to new users with a trained run: their history in, ranked items out.

    python -m experiments.recommend RUN_DIR --user-history FILE --k 20 --out FILE --model NAME

The history is a CSV file with a header: user,item and perhaps time, one event per line. Without time the order of the
lines is that of the events. What comes out is CSV: user,rank,item,score, without the items of the history. Items that
training never saw are left out of a history, and a user with no others gets no recommendation; both are counted.
"""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from experiments import cli, runs
from experiments.experiment import experiment_of
from experiments.recommendation.serving import Recommender, RecommendingSystem
from train import seeds
from train.atomic import refuse_input, write_atomically
from train.bounds import AtLeast
from train.data.ratings import Columns, read_csv
from train.data.table_files import TableFile, header_of
from train.errors import UserError
from train.run_directory import open_run
from train.run_outputs import refuse_own
from train.stored_state import Which

USERS_AT_A_TIME = 500


@dataclass(frozen=True, kw_only=True)
class Config:
    """Whom to recommend to, and how many items."""

    run_dir: runs.RunPath
    """The run."""
    user_history: Path
    """A CSV file with the columns user, item and perhaps time."""
    k: Annotated[int, AtLeast(1)] = 20
    """Items per user."""
    out: Path | None = None
    """The CSV file to write (default: the standard output)."""
    checkpoint: Which = "best"
    """The state of the best validation score, or the last."""
    seed: int | None = None
    """Which of the run's seeds recommends (default: the first)."""
    model: str = ""
    """Which of the run's models recommends (default: the best on validation data, or GRU4Rec's first loss)."""


class Histories(NamedTuple):
    """Users' known items as numbers of the catalogue, oldest first, and what was left out."""

    users: list[str]
    items: list[list[int]]
    unknown_items: int
    without_items: list[str]
    without_id: int


def main(argv: Sequence[str]) -> None:
    """Reads the histories, ranks, writes."""
    config = runs.parse(Config, "recommend", __doc__, argv)
    if config.out is not None and config.out.is_dir():
        raise UserError("--out", config.out, "is a folder", "name a file in it")
    if config.out is not None and not config.out.parent.is_dir():
        raise UserError("--out", config.out, "its folder does not exist", "make the folder first")
    if config.out is not None:
        refuse_input(config.out, [config.user_history])
        refuse_own(config.out, config.run_dir)
    model = open_recommender(config.run_dir, config.checkpoint, config.seed, config.model)
    others = f", of {', '.join(model.models)} (--model)" if len(model.models) > 1 else ""
    cli.say(f"{model.name} recommends{others}")
    histories = read_histories(config.user_history, model.item_ids)
    if histories.without_id:
        cli.say(f"{histories.without_id} lines left out: they have no user or no item")
    if histories.unknown_items:
        cli.say(f"{histories.unknown_items} events left out: training never saw their items")
    if histories.without_items:
        some = ", ".join(histories.without_items[:5])
        cli.say(f"{len(histories.without_items)} users left out: training saw none of their items ({some})")
    if not histories.users:
        problem = "has no user with an item that training saw"
        raise UserError("--user-history", config.user_history, problem, "give items of the training data")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user", "rank", "item", "score"))
    writer.writerows(recommend(model, histories, config.k))
    if config.out is None:
        _check_printable(text.getvalue())
        print(text.getvalue(), end="", flush=True)
    else:
        content, remedy = text.getvalue().encode(), "free space there or name another"
        write_atomically(config.out, content, "--out", remedy)
        cli.say(f"recommended to {len(histories.users)} users: {config.out}")


def _check_printable(text: str) -> None:
    """Raises UserError where names of items would be printed as others."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        name = ascii(text[error.start : error.end])
        raise UserError(
            "standard output", encoding, f"can't hold {name}", "write a file with --out"
        ) from error


def open_recommender(path: Path, which: Which, seed: int | None, model: str = "") -> Recommender:
    """The recommender that a run trained.

    Raises:
      UserError: there is no such run, it trained something else, or has no good checkpoint, no such seed or model.
    """
    run = open_run(path, "RUN_DIR")
    experiment = experiment_of(run)
    config = experiment.saved(run)
    listed = {} if experiment.systems is None else experiment.systems(config, run)
    known = {name: one for name, one in listed.items() if isinstance(one, RecommendingSystem)}
    if experiment.serving is None or not known:
        remedy = "give a run of a recommender, e.g. of multvae_movielens"
        raise UserError("RUN_DIR", path, f"is a run of {run.experiment}, which recommends nothing", remedy)
    if model and model not in known:
        raise UserError("--model", model, "is not a model of this run", f"choose {', '.join(known)}")
    system = known[model or experiment.serving(config, run)]
    index = runs.seed_index(seed, config.seed, config.seeds)
    state = seeds.unstack(system.load(run, system.only or which), index)
    return Recommender(system.item_ids, system.recommender(state), system.name, list(known))


def read_histories(path: Path, item_ids: Sequence[str]) -> Histories:
    """The histories of a file, in the order of its users' ids.

    Raises:
      UserError: it can't be read, or lacks a column.
    """
    wanted = "give a header: user,item or user,item,time"
    file = TableFile(path.expanduser(), "--user-history", columns=wanted, header=wanted)
    events = read_csv(file, Columns(time="time" if "time" in header_of(file)[0] else ""))
    place = {name: number for number, name in enumerate(item_ids)}
    number = np.asarray([place.get(name, -1) for name in events.item_ids])[events.item]
    time = np.arange(len(number)) if events.time is None else events.time
    order = np.lexsort((time, events.user))
    histories: list[list[int]] = [[] for _ in events.user_ids]
    for user, item in zip(events.user[order].tolist(), number[order].tolist(), strict=True):
        if item >= 0:
            histories[user].append(item)
    known = [user for user, history in enumerate(histories) if history]
    return Histories(
        [events.user_ids[user] for user in known],
        [histories[user] for user in known],
        int((number < 0).sum()),
        [name for user, name in enumerate(events.user_ids) if not histories[user]],
        events.counts.without_id,
    )


def recommend(model: Recommender, histories: Histories, k: int) -> Iterator[tuple[str, int, str, str]]:
    """(user, rank, item, score) of every user, best first; fewer than k where a user knows nearly all items."""
    for start in range(0, len(histories.users), USERS_AT_A_TIME):
        part = slice(start, start + USERS_AT_A_TIME)
        scores = np.array(model.scores(histories.items[part]))
        for user, history, row in zip(histories.users[part], histories.items[part], scores, strict=True):
            row[history] = -np.inf
            best = np.argsort(-row, kind="stable")[:k]
            for rank, item in enumerate(best[np.isfinite(row[best])], 1):
                yield user, rank, model.item_ids[int(item)], f"{row[item]:.6g}"


if __name__ == "__main__":
    cli.main(main)
