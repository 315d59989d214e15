"""Items with images that users chose: features, categories and records, some kept back for AUC.

The protocol of He and McAuley (AAAI 2016): a user with fewer than five records is left out; of every other one random
record is for the test and one for validation. A file may name its test records instead. Simulated users of rendered
items are in `fashion_world`.
"""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from train import npz_files
from train.data import interactions
from train.errors import UserError
from train.regular_files import why_no_file

LEAST_RECORDS = 5
KEYS = ("triples", "feat", "category", "is_test", "category_names")
"""Arrays of a file; others are left alone."""
Held = Literal["leave-one-out", "file"]
"""Who says which records are for the test: one of each user by chance, or `is_test` of the file."""


@dataclass(frozen=True, eq=False)
class FashionData:
    """Items, and users' records of them in three disjoint parts.

    Attributes:
      name: of the data, for reports.
      features: of every item's image.
      categories: one or several ids of each item, filled up with -1.
      category_names: by id.
      train: users x items, ones.
      validation: the item of each user that is kept back for validation, [users, 1].
      test: the items that are kept back for the test, filled up with the number of items, which is not an item.
      scene: of rendered items, their factors.
      dropped: what was left out, and how often.
    """

    name: str
    features: Float[np.ndarray, "items f"]
    categories: Int[np.ndarray, "items c"]
    category_names: tuple[str, ...]
    train: csr_array
    validation: Int[np.ndarray, "users 1"]
    test: Int[np.ndarray, "users k"]
    scene: Int[np.ndarray, "items 6"] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def users(self) -> int:
        """The number of users."""
        return interactions.size(self.train)[0]

    @property
    def items(self) -> int:
        """The number of items."""
        return interactions.size(self.train)[1]

    def clicks(self) -> Int[np.ndarray, " items"]:
        """Training records of each item."""
        return np.bincount(self.train.indices, minlength=self.items).astype(np.int32)

    def known(self) -> csr_array:
        """All records: a user's own are never negatives when AUC is measured."""
        kept = np.concatenate([self.validation, self.test], axis=1)
        users = np.repeat(np.arange(self.users), kept.shape[1])[kept.ravel() < self.items]
        user, item = interactions.pairs(self.train)
        user, item = np.append(user, users), np.append(item, kept[kept < self.items])
        return interactions.from_pairs(user, item, interactions.size(self.train))[0]


def split(
    user: Int[np.ndarray, " n"],
    item: Int[np.ndarray, " n"],
    items: int,
    is_test: np.ndarray | None,
    seed: int,
) -> tuple[csr_array, Int[np.ndarray, "users 1"], Int[np.ndarray, "users k"], dict[str, int]]:
    """Training matrix, validation and test items, and what was left out; users are numbered anew.

    Args:
      user: of each record, any number from 0.
      item: of each record.
      items: how many there are.
      is_test: the records for the test; None for one of each user by chance.
      seed: of what is left to chance. The stream is one that NumPy promises not to change.

    Raises:
      UserError: no user has enough records.
    """
    user = np.unique(user, return_inverse=True)[1].astype(np.int64)
    code, first = np.unique(user * items + item, return_index=True)
    dropped = {"repeated records": len(user) - len(code)}
    user, item = np.divmod(code, items)
    tested = np.zeros(len(code), bool) if is_test is None else is_test[first].astype(bool)
    # Two of a user's records to train and to validate with; the published protocol tests on one of the others.
    enough = (np.bincount(user) >= LEAST_RECORDS) & (np.bincount(user, weights=~tested) >= 2)
    dropped["users with too few records"] = int((~enough).sum())
    if not enough.any():
        problem = f"no user has {LEAST_RECORDS} records, two of them not for the test"
        raise UserError("the records", f"{len(code):,} there are", problem, "give more records")
    kept = enough[user]
    user, item, tested = np.cumsum(enough)[user[kept]] - 1, item[kept], tested[kept]
    tests = (
        np.bincount(user, weights=tested).astype(int) if is_test is not None else np.ones(enough.sum(), int)
    )
    # Test records first in each row, then the others in a random order.
    order = np.lexsort([np.random.RandomState(seed).random_sample(len(user)), ~tested, user])
    return *_cut(user[order], item[order], items, tests), dropped


def _cut(
    user: Int[np.ndarray, " n"],
    item: Int[np.ndarray, " n"],
    items: int,
    tests: Int[np.ndarray, " users"],
) -> tuple[csr_array, Int[np.ndarray, "users 1"], Int[np.ndarray, "users k"]]:
    """Of each user's rows, which are together, the first `tests[user]` for the test and the next for validation."""
    starts = np.searchsorted(user, np.arange(len(tests)))
    place = np.arange(len(user)) - starts[user]
    test = np.full((len(tests), max(1, int(tests.max()))), items, np.int32)
    for_test, rest = place < tests[user], place > tests[user]
    test[user[for_test], place[for_test]] = item[for_test]
    train, _ = interactions.from_pairs(user[rest], item[rest], (len(tests), items))
    return train, item[starts + tests].astype(np.int32)[:, None], test


def scaled(features: Float[np.ndarray, "items f"]) -> Float[np.ndarray, "items f"]:
    """Each feature moved and scaled to [0, 1] over the items; one that is constant to 0."""
    half = features * features.dtype.type(0.5)  # of numbers near the largest the difference is beyond it
    low, high = half.min(axis=0), half.max(axis=0)
    return ((half - low) / np.where(high > low, high - low, 1)).astype(np.float32)


def read_npz(path: pathlib.Path, held: Held = "leave-one-out", seed: int = 0) -> FashionData:
    """Data from one file, whose stem names them.

    It holds `triples` [n, 2 or more] of user and item numbers (further columns are ignored), `feat` [items, F],
    `category` [items] or, with -1 for none, [items, C], and perhaps `is_test` [n] and `category_names`. All numbers
    count from 0. Features are scaled to [0, 1].

    Args:
      path: the file.
      held: which records are for the test.
      seed: of what is left to chance.

    Raises:
      UserError: the file can't be read, an array is missing, arrays don't fit together, or no record is for the test.
    """
    path = pathlib.Path(path).expanduser()
    file = _File(path, _arrays(path))
    features = file.numbers("feat", 2)
    if not np.isfinite(features).all():
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise file.error("feat", f"holds NaN or infinity, first in row {row}")
    triples = file.whole_numbers("triples", 2)
    if triples.shape[1] < 2 or not len(triples):
        raise file.error("triples", f"has shape {list(triples.shape)} and should hold users and items")
    user, item = triples[:, 0], triples[:, 1]
    if user.min() < 0 or not 0 <= item.min() <= item.max() < len(features):
        problem = f"holds users from {user.min()} and items {item.min()} to {item.max()}, and 'feat' is of items 0 to "
        raise file.error("triples", f"{problem}{len(features) - 1}")
    categories = _categories(file, len(features))
    names = file.arrays.get("category_names")
    count = int(categories.max()) + 1
    if names is not None and len(names) < count:
        raise file.error("category_names", f"has {len(names)} names for categories 0 to {count - 1}")
    is_test = file.whole_numbers("is_test", 1) if held == "file" else None
    if is_test is not None and len(is_test) != len(user):
        raise file.error("is_test", f"has {len(is_test)} entries for {len(user)} rows of 'triples'")
    train, validation, test, dropped = split(user, item, len(features), is_test, seed)
    if not (test < len(features)).any():
        raise file.error("is_test", "names no test record of a user with enough records")
    return FashionData(
        name=path.stem,
        features=scaled(features.astype(np.float32)),
        categories=categories,
        category_names=tuple(map(str, names if names is not None else range(count))),
        train=train,
        validation=validation,
        test=test,
        dropped=dropped,
    )


def _categories(file: "_File", items: int) -> Int[np.ndarray, "items c"]:
    categories = file.whole_numbers("category", None)
    if categories.ndim not in (1, 2) or len(categories) != items:
        shape = list(categories.shape)
        raise file.error("category", f"has shape {shape} and should have a row for each of {items} items")
    categories = categories.reshape(items, -1)
    if categories.min() < -1 or not 0 <= categories.max() < 2**20:
        raise file.error(
            "category", f"holds {categories.min()} to {categories.max()} and should count from 0"
        )
    return categories.astype(np.int32)


@dataclass(frozen=True)
class _File:
    path: pathlib.Path
    arrays: Mapping[str, np.ndarray]

    def error(self, key: str, problem: str) -> UserError:
        return _bad(self.path, f"{key!r} {problem}", "write the file anew with numpy.savez")

    def numbers(self, key: str, rank: int | None) -> np.ndarray:
        """The array of this name, of `rank` axes."""
        if key not in self.arrays:
            raise self.error(key, "is missing")
        array = self.arrays[key]
        if array.dtype.kind not in "iufb" or not array.size or (rank is not None and array.ndim != rank):
            problem = f"of {array.dtype} and shape {list(array.shape)}"
            raise self.error(key, f"is an array {problem} and should hold numbers on {rank or 1} axes")
        return array

    def whole_numbers(self, key: str, rank: int | None) -> Int[np.ndarray, "..."]:
        array = self.numbers(key, rank)
        if not (np.isfinite(array) & (array == np.rint(array)) & (np.abs(array) < 2**31)).all():
            raise self.error(key, "holds something other than whole numbers")
        return array.astype(np.int64)


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise _bad(path, why_no_file(path), "check the spelling, or put the file there")
    return npz_files.read_npz(path, "--data.path", (), KEYS)


def _bad(path: pathlib.Path, problem: str, remedy: str) -> UserError:
    return UserError("--data.path", path, problem, remedy)
