"""Which interactions a recommender learns from, and which it is tested on: strong and weak generalisation."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from train.data.interactions import from_pairs, pairs, row_lengths, size
from train.errors import UserError
from train.npz_files import read_npz

VALIDATION = "validation"
STRONG_SEED, WEAK_SEED = 98765, 20141119
"""Those of the official code of Liang et al. and of CDAE."""


class Queries(NamedTuple):
    """Users to recommend for.

    Attributes:
      given: users x items, what is known of each.
      held: users x items, what is to be found.
      user: the row of each in the training matrix, or -1 for a user that training never saw.
    """

    given: csr_array
    held: csr_array
    user: Int[np.ndarray, " users"]


@dataclass(frozen=True)
class Split:
    """A data set divided for training, choosing and testing.

    Attributes:
      train: users x items, what is learned from while something is chosen.
      validation: what chooses.
      test: what nothing may be chosen on.
      final: what the tested model learns from, where that is more than `train`; its validation pairs are in it.
      users: for each row of all parts, training, validation, test, the user it was in the events.
      items: for each column the item it was in the events.
      dropped: what the protocol left out, by reason.
    """

    train: csr_array
    validation: Queries
    test: Queries
    final: csr_array | None
    users: Int[np.ndarray, " users"]
    items: Int[np.ndarray, " items"]
    dropped: dict[str, int]


def strong(
    user: Int[np.ndarray, " n"],
    item: Int[np.ndarray, " n"],
    held_out_users: int,
    seed: int = STRONG_SEED,
    least: int = 5,
    share: float = 0.2,
) -> Split:
    """Liang et al. (WWW 2018): no validation or test user is a training user.

    Users with at least `least` items are permuted; the last `held_out_users` are for testing, as many before them for
    validation. Items are those of the training users, in the order of their first appearance. Of each held-out user
    with at least `least` of those items int(share n), drawn at random, are to be found, the rest are given; of other
    held-out users everything is given and nothing is to be found.

    Args:
      user: of each event, none twice with the same item; sorted, and inside a user in the order of time.
      item: of each event, in the same order.
      held_out_users: in validation, and in test.
      seed: of NumPy's RandomState, set anew for the permutation, validation and test, as in the official code.
      least: see above.
      share: see above.

    Raises:
      UserError: no training user would be left, or nothing is to be found.
    """
    counts = np.bincount(user)
    kept = counts[user] >= least
    dropped = {
        f"events of users with fewer than {least} items": int((~kept).sum()),
        f"users with fewer than {least} items": int(((counts > 0) & (counts < least)).sum()),
    }
    user, item = user[kept], item[kept]
    users = np.unique(user)
    if len(users) <= 2 * held_out_users:
        problem = f"too many of the {len(users)} users with at least {least} items, and as many for test"
        remedy = "give fewer by --data.held-out-users, or a larger data set"
        raise UserError("users for validation", held_out_users, problem, remedy)
    users = users[np.random.RandomState(seed).permutation(len(users))]
    training = len(users) - 2 * held_out_users
    row = _places(users)
    is_training = row[user] < training
    items = _in_order_of_appearance(item[is_training])
    column = _places(items, int(item.max()) + 1)
    unknown = column[item] < 0
    dropped["events of held-out users with items that no training user has"] = int(unknown.sum())
    train, _ = from_pairs(row[user[is_training]], column[item[is_training]], (training, len(items)))

    def queries(first: int) -> Queries:
        rows = row[user] - first
        part = (rows >= 0) & (rows < held_out_users) & ~unknown
        held = _draw(user[part], seed, least, share)
        shape, places = (held_out_users, len(items)), (rows[part], column[item[part]])
        given, found = (from_pairs(places[0][which], places[1][which], shape)[0] for which in (~held, held))
        return Queries(given, found, np.full(held_out_users, -1, np.int32))

    validation, test = queries(training), queries(training + held_out_users)
    _check_found(validation, test)
    return Split(train, validation, test, None, users, items, dropped)


def weak(
    user: Int[np.ndarray, " n"],
    item: Int[np.ndarray, " n"],
    seed: int = WEAK_SEED,
    least: int = 5,
    share: float = 0.2,
    validation_share: float = 0.2,
) -> Split:
    """CDAE (Wu et al., WSDM 2016): of every user some items are for testing, and the others for training.

    Users and items with fewer than `least` events are left out repeatedly, until none remains. Of each user
    floor(share n) items, drawn at random, are for testing. Settings are chosen on floor(validation_share n)
    of the user's training items, drawn with the next seed; the tested model may learn from those again.

    Args:
      user: of each event, none twice with the same item; sorted, and inside a user in the order of time.
      item: of each event, in the same order.
      seed: of NumPy's RandomState; users draw in ascending order.
      least: see above.
      share: see above.
      validation_share: see above.

    Raises:
      UserError: no event is left, or nothing is to be found.
    """
    kept = core(user, item, least)
    dropped = {f"events outside the {least}-core of users and items": int((~kept).sum())}
    if not kept.any():
        problem = f"no user and item have {least} of them after the others were left out"
        remedy = "give fewer by --data.min-user-items, or a larger data set"
        raise UserError("events", len(user), problem, remedy)
    users, row = np.unique(user[kept], return_inverse=True)
    items, column = np.unique(item[kept], return_inverse=True)
    test = _draw(row, seed, 1, share)
    shape = (len(users), len(items))
    final, _ = from_pairs(row[~test], column[~test], shape)
    held, _ = from_pairs(row[test], column[test], shape)
    split = from_training(final, held, seed, validation_share)
    return Split(split.train, split.validation, split.test, final, users, items, dropped)


def from_training(
    final: csr_array, held: csr_array, seed: int = WEAK_SEED, validation_share: float = 0.2
) -> Split:
    """The split of given training and test items of the same users, with validation items out of the training ones.

    Raises:
      UserError: nothing is to be found.
    """
    row, column = pairs(final)
    validation = _draw(row, seed + 1, 1, validation_share)
    train, _ = from_pairs(row[~validation], column[~validation], size(final))
    chosen, _ = from_pairs(row[validation], column[validation], size(final))
    return with_validation(train, chosen, held)


def with_validation(train: csr_array, chosen: csr_array, held: csr_array) -> Split:
    """The split of given training, validation and test items of the same users; what is tested learns from the first
    two.

    Raises:
      UserError: nothing is to be found.
    """
    final = csr_array(train + chosen)
    final.sort_indices()
    everyone = np.arange(size(final)[0], dtype=np.int32)
    queries = Queries(train, chosen, everyone), Queries(final, held, everyone)
    _check_found(*queries)
    return Split(train, *queries, final, everyone, np.arange(size(final)[1]), {})


def read_split(path: str | pathlib.Path, protocol: Literal["strong", "weak"]) -> tuple[Split, list[str]]:
    """A split from an npz of pairs (user, item), and the items' ids.

    strong: `train`, `vad_tr`, `vad_te`, `test_tr`, `test_te` with users numbered in that order of parts, as the
    official code of Liang et al. writes them; weak: `train`, `test` and perhaps `validation`, which otherwise is drawn
    out of `train`. `item_ids` names the items.

    Raises:
      UserError: it can't be read or lacks an array, or its parts share what they must not share.
    """
    names = ("train", "vad_tr", "vad_te", "test_tr", "test_te") if protocol == "strong" else ("train", "test")
    file = pathlib.Path(path).expanduser()
    arrays = _read_arrays(file, (*names, "item_ids"), (VALIDATION,) if protocol == "weak" else ())
    names = tuple(name for name in arrays if name != "item_ids")
    ids = [str(name) for name in arrays["item_ids"].tolist()]
    if len(set(ids)) < len(ids):
        raise UserError("--data.path", file, "'item_ids' has an id twice", "save each item's own id")
    largest = max(int(arrays[name][:, 0].max(initial=-1)) for name in names) + 1
    whole = {
        name: from_pairs(arrays[name][:, 0], arrays[name][:, 1], (largest, len(ids)))[0] for name in names
    }
    _check_disjoint(file, whole)
    if VALIDATION in whole:
        return with_validation(whole["train"], whole[VALIDATION], whole["test"]), ids
    if protocol == "weak":
        return from_training(whole["train"], whole["test"]), ids

    def queries(part: str) -> Queries:
        given, held = whole[f"{part}_tr"], whole[f"{part}_te"]
        rows = np.flatnonzero(row_lengths(given) + row_lengths(held))
        return Queries(given[rows], held[rows], np.full(len(rows), -1, np.int32))

    rows = np.flatnonzero(row_lengths(whole["train"]))
    validation, test = queries("vad"), queries("test")
    _check_found(validation, test)
    everyone, items = np.arange(largest), np.arange(len(ids))
    return Split(whole["train"][rows], validation, test, None, everyone, items, {}), ids


def _read_arrays(
    path: pathlib.Path, names: Sequence[str], perhaps: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Arrays of an npz, whose first ones are integers [n, 2] of numbers that the last one allows.

    `perhaps` names others, which come first where the file has them.
    """
    found = read_npz(path, "--data.path", names, perhaps, remedy=f"give an npz with {', '.join(names)}")
    names = (*(name for name in perhaps if name in found), *names)
    arrays = {name: found[name] for name in names}
    if arrays[names[-1]].ndim != 1:
        problem = f"{names[-1]!r} has {arrays[names[-1]].ndim} dimensions, not one"
        raise UserError("--data.path", path, problem, "save one id for each item")
    for name in names[:-1]:
        pairs_ = arrays[name]
        well_formed = pairs_.ndim == 2 and pairs_.shape[1] == 2 and pairs_.dtype.kind in "iu"
        if (
            not well_formed
            or pairs_.min(initial=0) < 0
            or pairs_[:, 1].max(initial=0) >= len(arrays[names[-1]])
        ):
            problem = f"{name!r} is {pairs_.dtype}{list(pairs_.shape)}, not pairs of a user and a number of item_ids"
            raise UserError("--data.path", path, problem, "save the split again")
    return arrays


def _check_disjoint(path: pathlib.Path, whole: Mapping[str, csr_array]) -> None:
    """Raises UserError where a part tells what another is to be tested on.

    What is given and what is to be found are of the same users and share no pair; the other parts share no user.
    """
    same_users = {("train", "test"), ("vad_tr", "vad_te"), ("test_tr", "test_te")}
    same_users |= {(VALIDATION, "train"), (VALIDATION, "test")}
    for one, other in itertools.combinations(whole, 2):
        if (one, other) in same_users:
            shared, what = whole[one].multiply(whole[other]).nnz, "pairs of a user and an item"
            remedy = "leave out of the one what is in the other"
        else:
            shared, what = np.count_nonzero(row_lengths(whole[one]) * row_lengths(whole[other])), "users"
            remedy = "number the users on through all parts, each in one part"
        if shared:
            raise UserError("--data.path", path, f"{one!r} and {other!r} share {shared:,} {what}", remedy)


def core(user: Int[np.ndarray, " n"], item: Int[np.ndarray, " n"], least: int) -> np.ndarray:
    """Which events remain once users and items with fewer than `least` remaining events are left out, repeatedly."""
    kept = np.ones(len(user), bool)
    while True:
        few = np.zeros(len(user), bool)
        for side in (user, item):
            few |= kept & (np.bincount(side[kept], minlength=int(side.max(initial=0)) + 1)[side] < least)
        if not few.any():
            return kept
        kept &= ~few


def _draw(user: Int[np.ndarray, " n"], seed: int, least: int, share: float) -> np.ndarray:
    """Which events are held out: int(share n) of each run of equal users that is at least `least` long."""
    random, held = np.random.RandomState(seed), np.zeros(len(user), bool)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(user)), strict=True):
        if end - start >= least:
            held[start + random.choice(end - start, int(share * (end - start)), replace=False)] = True
    return held


def _places(values: Int[np.ndarray, " n"], size: int = 0) -> Int[np.ndarray, " size"]:
    """Inverts an enumeration: the place of each number in `values`, -1 for what is not there."""
    places = np.full(max(size, int(values.max()) + 1), -1, np.int64)
    places[values] = np.arange(len(values))
    return places


def _in_order_of_appearance(values: Int[np.ndarray, " n"]) -> Int[np.ndarray, " distinct"]:
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]


def _check_found(*parts: Queries) -> None:
    for part in parts:
        if not row_lengths(part.held).any():
            problem = "no user has enough items to hold one of them out"
            raise UserError("--data.path", f"{size(part.held)[0]} users", problem, "give a larger data set")
