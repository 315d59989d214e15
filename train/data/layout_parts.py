"""An opened set of layouts with photos: its parts, fed in random order or read in their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int

from train.data.label_examples import Corrupt, LayoutFiles
from train.data.label_stream import LayoutStream
from train.data.layout_world import LayoutWorld
from train.feed import DeviceFeed, Feed, order_keys
from train.layout import Layout

Batch = dict[str, np.ndarray]


class Padded(NamedTuple):
    """A batch of full size of which only some examples are real.

    Attributes:
      batch: as `train.layout` defines it, on the host.
      mask: which examples are real: neither padding nor unreadable.
      rows: of the examples; those of the padding repeat the last one.
    """

    batch: Batch
    mask: Bool[np.ndarray, "B"]
    rows: Int[np.ndarray, "B"]


class LayoutSource(Protocol):
    """Examples that are read by row, as for evaluation."""

    @property
    def layout(self) -> Layout: ...

    def read(self, rows: Int[np.ndarray, "B"]) -> tuple[Batch, Bool[np.ndarray, "B"]]:
        """The batch of these rows, and which of them could be read."""
        ...


@dataclass(frozen=True, eq=False)
class LayoutPart:
    """Some rows of a set, in a fixed order.

    Attributes:
      source: of the examples.
      rows: of this part.
    """

    source: LayoutSource
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size: int, limit: int | None = None) -> Iterator[Padded]:
        """All examples in their order, or the first `limit`, cropped only where necessary; the last batch padded.

        Raises:
          UserError: a file is not what it should be, or too many can't be read.
        """
        rows = self.rows[:limit]
        for start in range(0, len(rows), batch_size):
            own = rows[start : start + batch_size]
            padded = np.concatenate([own, np.repeat(own[-1:], batch_size - len(own))])
            batch, readable = self.source.read(padded)
            yield Padded(batch, readable & (np.arange(batch_size) < len(own)), padded)

    def __getitem__(self, positions: Int[np.ndarray, "B"]) -> Batch:
        """The examples at these positions in the part."""
        return self.source.read(self.rows[positions])[0]


@dataclass(frozen=True, eq=False)
class LayoutData:
    """An opened set of layouts with photos.

    Attributes:
      name: what the data are, for reports.
      layout: of every example.
      train, validation, test: disjoint parts; validation is empty where none was asked for.
      corrupt: the files that could not be read so far.
      make_feed: see `feed`.
      absent: classes that no training map holds.
    """

    name: str
    layout: Layout
    train: LayoutPart
    validation: LayoutPart
    test: LayoutPart
    corrupt: Corrupt
    make_feed: Callable[[int, jax.Array, Mesh, int], Feed]
    absent: tuple[int, ...] = ()

    def feed(self, batch_size: int, keys: jax.Array, mesh: Mesh, inner_steps: int) -> Feed:
        """Training batches for `train.loop.fit`.

        Args:
          batch_size: over all devices.
          keys: one per seed, as `fit` gets them.
          mesh: the devices.
          inner_steps: as `fit` gets it.

        Raises:
          UserError: there are too few examples for a batch.
        """
        return self.make_feed(batch_size, keys, mesh, inner_steps)


def world_data(world: LayoutWorld) -> LayoutData:
    """The procedural set, rendered inside the training step."""
    train, validation, test = (LayoutPart(world, rows) for rows in world.parts)

    def make_feed(batch_size: int, keys: jax.Array, mesh: Mesh, inner_steps: int) -> Feed:
        del keys, inner_steps  # a DeviceFeed is given the order's key with each step
        return DeviceFeed.place(world, train.rows, batch_size, mesh)

    return LayoutData(world.name, world.layout, train, validation, test, Corrupt(0), make_feed)


def files_data(files: LayoutFiles, train: LayoutPart, validation: LayoutPart, test: LayoutPart) -> LayoutData:
    """A set of files, streamed from where they are.

    Args:
      files: that are trained on.
      train, validation, test: the parts; `train` is one of `files`.
    """

    def make_feed(batch_size: int, keys: jax.Array, mesh: Mesh, inner_steps: int) -> Feed:
        return LayoutStream(files, train.rows, batch_size, order_keys(keys), mesh, inner_steps)

    return LayoutData(files.name, files.layout, train, validation, test, files.corrupt, make_feed)
