"""Examples of one size from triples of files: read, checked, resized, cropped; files that can't be read are counted."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from train.data.image_files import UnreadableError, read_indices, read_photo
from train.data.label_folders import Triples
from train.data.label_maps import ClassTable
from train.data.pair_geometry import Geometry, Placement, place_map, place_photo
from train.errors import UserError
from train.layout import Layout

Example = dict[str, np.ndarray]
_LOG = logging.getLogger(__name__)


class Corrupt:
    """The files that could not be read so far, each counted once.

    Args:
      limit: how many may be left out.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._names: dict[str, None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order they were met."""
        return tuple(self._names)

    def add(self, name: str, reason: str) -> None:
        """Counts a file.

        Raises:
          UserError: it is one more than may be left out.
        """
        if name in self._names:
            return
        self._names[name] = None
        _LOG.warning("left out, it can't be read: %s: %s", name, reason)
        if len(self._names) > self.limit:
            problem = f"{len(self._names)} files can't be read, the last being {name} ({reason})"
            raise UserError("--data.max-corrupt", self.limit, problem, "mend or remove them, or allow more")

    def restore(self, names: tuple[str, ...]) -> None:
        """Sets what was met before."""
        self._names = dict.fromkeys(names)


@dataclass(frozen=True)
class LayoutFiles:
    """A data set of files as examples of one layout.

    Attributes:
      triples: the files.
      table: from their values to classes.
      geometry: of training.
      layout: of every example.
      corrupt: counts what can't be read.
      flags: what the user named the files by, for messages: of label maps, photos and instance maps.
    """

    triples: Triples
    table: ClassTable
    geometry: Geometry
    layout: Layout
    corrupt: Corrupt
    flags: tuple[str, str, str] = ("--data.labels", "--data.images", "--data.instances")

    @property
    def name(self) -> str:
        """What the data are, for reports."""
        return self.triples.name

    def __len__(self) -> int:
        return len(self.triples)

    def example(self, row: int, random: np.random.Generator | None) -> Example:
        """One example, with a crop and a flip from `random`, or as for evaluation without it.

        Raises:
          UnreadableError: a file of it is damaged.
          UserError: a value is not a class, or the sizes of its files or of the result differ.
        """
        triple = self.triples[row]
        of_labels, _, of_instances = self.flags
        photo = read_photo(triple.image)
        values = read_indices(triple.label, of_labels)
        maps = {"label": self.table.to_classes(values, triple.label.name, of_labels)}
        if self.layout.instances and triple.instance is not None:
            maps["instance"] = read_indices(triple.instance, of_instances)
        for kind, array in maps.items():
            if array.shape != photo.size[::-1]:
                flag = of_labels if kind == "label" else of_instances
                _refuse_sizes(flag, kind, array, triple.image.name, photo.size)
        placement = self._place(*photo.size, triple.image.name, random)
        placed = {kind: place_map(array, placement) for kind, array in maps.items()}
        return {**placed, "image": place_photo(photo, placement)}

    def read(self, rows: Int[np.ndarray, "B"]) -> tuple[Example, Bool[np.ndarray, "B"]]:
        """The batch of these rows as for evaluation, and which of them could be read; the others are zeros.

        Raises:
          UserError: as `example`, or too many files can't be read.
        """
        batch, readable = self.blank(len(rows)), np.ones(len(rows), bool)
        for i, row in enumerate(rows):
            try:
                example = self.example(int(row), None)
            except UnreadableError as error:
                self.corrupt.add(error.name, error.reason)
                readable[i] = False
                continue
            for key, array in example.items():
                batch[key][i] = array
        return batch, readable

    def blank(self, count: int) -> Example:
        """A batch of zeros."""
        plane = (count, self.layout.height, self.layout.width)
        maps = ("label", "instance") if self.layout.instances else ("label",)
        return {**{key: np.zeros(plane, np.int32) for key in maps}, "image": np.zeros((*plane, 3), np.uint8)}

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raises UserError where training or evaluation can't bring files of this size to that of all examples."""
        for random in (None, np.random.default_rng(0)):
            self._place(width, height, name, random)

    def _place(self, width: int, height: int, name: str, random: np.random.Generator | None) -> Placement:
        geometry = self.geometry if random is not None else self.geometry.for_evaluation()
        try:
            placement = geometry.place(width, height, random)
        except UserError as error:
            raise UserError(error.field, error.value, f"{name}: {error.problem}", error.remedy) from error
        became, wanted = (
            (placement.final_width, placement.final_height),
            (self.layout.width, self.layout.height),
        )
        if became != wanted:
            problem = f"{name} becomes {became[0]} x {became[1]} and others {wanted[0]} x {wanted[1]}"
            remedy = "give a mode that ends in crop, or fixed, so that all get one size"
            raise UserError("--data.resize-mode", self.geometry.mode, problem, remedy)
        return placement


def _refuse_sizes(flag: str, kind: str, array: np.ndarray, image_name: str, size: tuple[int, int]) -> None:
    found = f"the {kind} map is {array.shape[1]} x {array.shape[0]} and the photo {size[0]} x {size[1]}"
    raise UserError(flag, image_name, found, "give files of equal size for one example")


def find_layout(
    triples: Triples,
    table: ClassTable,
    geometry: Geometry,
    instances: bool,
    corrupt: Corrupt,
    flag: str = "--data.images",
) -> Layout:
    """The layout of a data set, its size from the first example whose photo can be read.

    Raises:
      UserError: too many photos can't be read, or the first one doesn't fit the sizes.
    """
    for row in range(len(triples)):
        try:
            photo = read_photo(triples[row].image)
        except UnreadableError as error:
            corrupt.add(error.name, error.reason)
            continue
        geometry.place(*photo.size, None)  # fits the crop of training too
        placement = geometry.for_evaluation().place(*photo.size, None)
        names = triples.class_names[: table.classes] if len(triples.class_names) >= table.classes else ()
        return Layout(
            table.classes, table.dont_care, instances, placement.final_height, placement.final_width, names
        )
    raise UserError(flag, triples.name, "no photo of it can be read", "give image files")
