"""Generalised zero-shot learning: classes with images, classes known by description only, and how to split them.

The protocol of Xian et al. (2018, "Zero-shot learning: the good, the bad and the ugly"). A class is seen if it
has training images and unseen if it has test images only; its id counts over both. Every choice made here is a
function of a hash, so it is the same in every run and version of NumPy.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from train.data.split import split_indices
from train.errors import UserError

ATTRIBUTES = "attributes"
SPLITS = ("trainval", "test_seen", "test_unseen")


def _no_classes() -> Int[np.ndarray, "0"]:
    return np.empty(0, np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class ZeroShotData:
    """Image features, class descriptions and the three splits of a benchmark.

    Attributes:
      name: what the data are, for reports.
      features: float32 [N, D], one row per image.
      labels: int32 [N], the class of each row, in [0, C).
      attributes: kinds of class description in order, each float32 [C, A]; a single kind is `attributes`.
      class_names: C names.
      trainval: int32 rows of `features` that train.
      test_seen: int32 rows that test the classes of `trainval`.
      test_unseen: int32 rows that test all other classes.
      validation_classes: int32 classes that the benchmark sets aside for validation; empty where unknown.
    """

    name: str
    features: Float[np.ndarray, "N D"]
    labels: Int[np.ndarray, "N"]
    attributes: Mapping[str, Float[np.ndarray, "C A"]]
    class_names: tuple[str, ...]
    trainval: Int[np.ndarray, "T"]
    test_seen: Int[np.ndarray, "S"]
    test_unseen: Int[np.ndarray, "U"]
    validation_classes: Int[np.ndarray, "V"] = dataclasses.field(default_factory=_no_classes)

    @functools.cached_property
    def seen(self) -> Int[np.ndarray, "K"]:
        """The classes of `trainval`, ascending."""
        return np.unique(self.labels[self.trainval])

    @functools.cached_property
    def unseen(self) -> Int[np.ndarray, "K"]:
        """The classes of `test_unseen`, ascending."""
        return np.unique(self.labels[self.test_unseen])


def scale(data: ZeroShotData) -> ZeroShotData:
    """The same data with every feature mapped to [0, 1] over the training rows.

    The affine map of the training rows serves the test rows as well, which may leave [0, 1]; a feature that is
    constant over the training rows is only shifted, as scikit-learn's MinMaxScaler does.
    """
    train = data.features[data.trainval]
    half = np.float32(0.5)  # of numbers near the largest of float32 the difference is beyond it
    low, high = half * train.min(axis=0), half * train.max(axis=0)
    features = half * data.features - low
    features /= np.where(high == low, half, high - low)
    return dataclasses.replace(data, features=features)


def first_rows(rows: Int[np.ndarray, "R"], labels: Int[np.ndarray, "R"], n: int) -> Int[np.ndarray, "K*n"]:
    """Exactly n rows of every class that occurs in `rows`: its first n, and over again where it has fewer.

    What the official code trains the classifier on: the class's rows in stored order, repeated
    ceil(max(1, n / count)) times and cut after n; no choice is random.

    Args:
      rows: row numbers, in stored order.
      labels: the class of each.
      n: rows per class.

    Returns:
      int32 row numbers, classes ascending.
    """
    blocks = [rows[labels == label] for label in np.unique(labels)]
    repeated = [np.tile(block, math.ceil(max(1, n / len(block))))[:n] for block in blocks]
    return np.concatenate(repeated or [rows]).astype(np.int32)


def few_shot(data: ZeroShotData, shots: int, seed: int) -> tuple[ZeroShotData, Int[np.ndarray, "K*shots"]]:
    """Moves `shots` random images of every unseen class from the test to a support set.

    Args:
      data: the zero-shot task.
      shots: support images per unseen class.
      seed: chooses them.

    Returns:
      The task with the remaining `test_unseen`, and the int32 support rows, classes ascending.

    Raises:
      UserError: an unseen class has no test image left.
    """
    blocks = _random_rows_by_class(data, data.test_unseen, seed)
    for label, block in blocks.items():
        if len(block) <= shots:
            held = (
                f"unseen {_class(data, label)} has {len(block)} test images, and one must stay for the test"
            )
            raise UserError(
                "--evaluate.shots", shots, held, f"take at most {len(block) - 1} or leave the class out"
            )
    support = np.concatenate([block[:shots] for block in blocks.values()])
    rest = data.test_unseen[~np.isin(data.test_unseen, support)]
    return dataclasses.replace(data, test_unseen=rest), support


def validation_task(data: ZeroShotData, seed: int = 0) -> ZeroShotData:
    """A zero-shot task made of `data.trainval` alone, to choose settings on.

    Its unseen classes are the seen classes that the benchmark sets aside for validation; where there are none,
    or nothing but those, as large a share of the seen classes as the unseen are of all. Of each other class
    the share that `test_seen` has of a benchmark's seen images, at least one, becomes its `test_seen`.
    The benchmark's own validation split (train on `train_loc`, test on `val_loc`) holds images of `test_seen`;
    this one never does. Ids of classes and rows stay those of `data`.

    Args:
      data: the benchmark.
      seed: chooses images, and classes where the benchmark names none.

    Raises:
      UserError: too few classes or images.
    """
    unseen = _validation_unseen(data, seed)
    share = len(data.test_seen) / (len(data.trainval) + len(data.test_seen))
    held_out = []
    for label, block in _random_rows_by_class(data, data.trainval, seed).items():
        if label in unseen:
            continue
        if len(block) < 2:
            raise _too_small(data, f"{_class(data, label)} has one training image, validation needs two")
        held_out.append(block[: min(len(block) - 1, max(1, round(share * len(block))))])
    is_unseen = np.isin(data.labels[data.trainval], unseen)
    is_held_out = np.isin(data.trainval, np.concatenate(held_out))
    return dataclasses.replace(
        data,
        name=f"{data.name}-validation",
        trainval=data.trainval[~is_unseen & ~is_held_out],
        test_seen=data.trainval[is_held_out],
        test_unseen=data.trainval[is_unseen],
        validation_classes=_no_classes(),
    )


def _validation_unseen(data: ZeroShotData, seed: int) -> Int[np.ndarray, "V"]:
    named = np.intersect1d(data.seen, data.validation_classes)
    if 0 < len(named) < len(data.seen):
        return named
    if len(data.seen) < 2:
        raise _too_small(data, "has one seen class, and validation sets one aside")
    share = len(data.unseen) / (len(data.seen) + len(data.unseen))
    count = min(len(data.seen) - 1, max(1, round(share * len(data.seen))))
    return np.sort(data.seen[_random_order(len(data.seen), seed)[:count]])


def _too_small(data: ZeroShotData, problem: str) -> UserError:
    return UserError("--data.path", data.name, problem, "give a larger set")


def _random_order(size: int, seed: int) -> Int[np.ndarray, "N"]:
    return split_indices(size, (1.0, 0.0, 0.0), seed).train


def _random_rows_by_class(
    data: ZeroShotData, rows: Int[np.ndarray, "R"], seed: int
) -> dict[int, Int[np.ndarray, "n"]]:
    """The rows of each class, classes ascending, in the order that they have in one permutation of all rows."""
    order = _random_order(len(data.labels), seed)
    shuffled = order[np.isin(order, rows)]
    labels = data.labels[shuffled]
    return {int(label): shuffled[labels == label] for label in np.unique(labels)}


# What can be wrong with a benchmark -------------------------------------------------------------------------

Problem = tuple[str, str, str]


def check(
    data: ZeroShotData, path: str | pathlib.Path, names: Mapping[str, str] | None = None, matlab: bool = False
) -> None:
    """Refuses data on which the protocol is not defined.

    Args:
      data: as read.
      path: the file or folder, for the message.
      names: what the file calls a field of `data` or a kind of attributes, where it differs.
      matlab: whether the file counts from 1 and holds matrices transposed; messages then show its own numbers.

    Raises:
      UserError: sizes that don't agree; features or attributes that are not finite; a class described by zeros;
        a label or row out of range; a split that is empty or shares an image; a class that is in the wrong
        split or without an image where it needs one.
    """
    problem = next(_problems(data, matlab), None)
    if problem is not None:
        field, what, remedy = problem
        raise UserError("--data.path", path, f"{(names or {}).get(field, repr(field))} {what}", remedy)


def _problems(data: ZeroShotData, matlab: bool) -> Iterator[Problem]:
    """All that is wrong: each the field, what it does, and the remedy. Later ones rely on the earlier."""
    first = int(matlab)
    yield from _transposed(data, matlab)
    yield from _size_problems(data, matlab)
    yield from _value_problems(data, first)
    yield from _split_problems(data, first)
    yield from _class_problems(data, first)


def _transposed(data: ZeroShotData, matlab: bool) -> Iterator[Problem]:
    """Matrices whose other axis is that of the images or of the classes."""
    features, images = data.features, len(data.labels)
    if features.ndim == 2 and features.shape[1] == images != features.shape[0]:
        wanted = "[D, N]" if matlab else "[N, D]"
        found = f"has shape {_shape(features, matlab)} for {images} labels, and features are {wanted}"
        yield "features", found, "transpose them"
    for kind, table in data.attributes.items():
        classes = {len(data.class_names), int(data.labels.max(initial=-1)) + 1}
        if table.ndim == 2 and table.shape[1] in classes and table.shape[0] not in classes:
            wanted = "[A, C]" if matlab else "[C, A]"
            found = (
                f"has shape {_shape(table, matlab)} for {table.shape[1]} classes, and attributes are {wanted}"
            )
            yield kind, found, "transpose them"


def _shape(table: np.ndarray, matlab: bool) -> list[int]:
    """As it is in the file."""
    return list(table.shape[::-1] if matlab else table.shape)


def _size_problems(data: ZeroShotData, matlab: bool) -> Iterator[Problem]:
    if data.features.ndim != 2 or 0 in data.features.shape:
        axis = "column" if matlab else "row"
        found = f"has shape {_shape(data.features, matlab)}"
        yield "features", found, f"give one {axis} of numbers per image"
    if data.labels.shape != data.features.shape[:1]:
        found = f"has shape {list(data.labels.shape)} beside features {_shape(data.features, matlab)}"
        yield "labels", found, "give one label per image"
    for kind, table in data.attributes.items():
        if table.ndim != 2 or len(table) != len(data.class_names) or 0 in table.shape:
            axis = "column" if matlab else "row"
            found = f"has shape {_shape(table, matlab)} beside {len(data.class_names)} classes"
            yield kind, found, f"give one {axis} of numbers per class"


def _value_problems(data: ZeroShotData, first: int) -> Iterator[Problem]:
    classes = len(data.class_names)
    for field, table in {"features": data.features, **data.attributes}.items():
        bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
        if bad.size:
            yield (
                field,
                f"is NaN or infinite in {_some('row', bad + first)}",
                "mend those rows or leave them out",
            )
    for kind, table in data.attributes.items():
        bad = np.flatnonzero(~table.any(axis=1))
        if bad.size:
            yield kind, f"is all zeros in {_some('class', bad + first)}", "describe every class"
    bad = np.unique(data.labels[(data.labels < 0) | (data.labels >= classes)])
    if bad.size:
        found = f"holds {_some('class', bad + first)}, not in {first}..{classes - 1 + first} (counted from {first})"
        yield "labels", found, _number_remedy(data.labels, classes, first)


def _number_remedy(labels: Int[np.ndarray, " N"], classes: int, first: int) -> str:
    """What to do about labels that are not classes."""
    held = np.unique(labels)
    if len(held) <= classes and held[-1] - held[0] < classes and abs(int(held[0])) <= 1:
        return f"count classes from {first}, in the order of their attributes"
    if len(held) <= classes and held[0] >= 0:
        last = classes - 1 + first
        return f"number the {len(held)} classes that occur {first}..{last}, in the order of their attributes"
    return "describe every class that has an image, or mend the labels"


def _split_problems(data: ZeroShotData, first: int) -> Iterator[Problem]:
    splits = {field: getattr(data, field) for field in SPLITS}
    owner = np.full(len(data.labels), -1)
    for place, (field, rows) in enumerate(splits.items()):
        if not rows.size:
            yield field, "is empty", "give every split an image"
        bad = rows[(rows < 0) | (rows >= len(data.labels))]
        if bad.size:
            last = len(data.labels) - 1 + first
            found = f"holds {_some('row', bad + first)}, not in {first}..{last} (counted from {first})"
            yield field, found, "give rows of the features"
        taken = rows[owner[rows] >= 0]
        if taken.size:
            found = f"overlaps {SPLITS[owner[taken[0]]]!r} in {_some('row', taken + first)}"
            yield field, found, "give every image to one split"
        if len(np.unique(rows)) < len(rows):
            yield field, "holds a row more than once", "give every image once"
        owner[rows] = place


def _class_problems(data: ZeroShotData, first: int) -> Iterator[Problem]:
    tested, described = np.unique(data.labels[data.test_seen]), np.arange(len(data.class_names))
    for label in np.intersect1d(data.seen, data.unseen):
        yield "trainval", f"holds images of unseen {_class(data, label, first)}", "train on seen classes only"
    for label in np.setdiff1d(tested, data.seen):
        problem = f"holds images of {_class(data, label, first)}, of which 'trainval' has none"
        yield "test_seen", problem, "move them to 'test_unseen'"
    for label in np.setdiff1d(data.seen, tested):
        problem = f"holds no image of {_class(data, label, first)}, which 'trainval' has"
        yield "test_seen", problem, "test every seen class"
    for label in np.setdiff1d(described, np.concatenate([data.seen, data.unseen])):
        yield "labels", f"give no image of any split to {_class(data, label, first)}", "leave the class out"


def _class(data: ZeroShotData, label: int, first: int = 0) -> str:
    number, name = f"class {label + first}", data.class_names[label]
    return number if name == number else f"{number} ({name})"


def _some(thing: str, values: np.ndarray) -> str:
    """The first few of many: `row 3`, `rows 3, 5, 8 and 12 more`."""
    shown = ", ".join(str(v) for v in values[:3].tolist())
    plural = {"row": "rows", "class": "classes"}[thing]
    rest = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return f"{thing if len(values) == 1 else plural} {shown}{rest}"
