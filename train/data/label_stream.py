"""Training batches of layouts streamed from files by grain, whose iterator's state goes into the checkpoint."""

import os
from collections.abc import Mapping
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from train.data.image_files import UnreadableError
from train.data.label_examples import Example, LayoutFiles
from train.devices import across_devices, split
from train.errors import UserError

READ_AHEAD = 16
"""Batches that are read before they are needed, at most."""
THREADS = min(16, os.cpu_count() or 1)


class LayoutStream:
    """A `Feed` that reads, resizes, crops and flips files while the devices train.

    Batches are a function of (seed, step) alone: the epoch's order, the corner of the crop and the flip are drawn
    from the seed and the position in the stream. So a run that was killed and resumed sees what it would have seen.
    Each epoch drops its last incomplete batch. Of several processes each reads its share of every batch; one batch
    holds the same examples whatever their number.

    A file that can't be read is replaced by the next example that can, named and counted.

    Args:
      files: the data set.
      rows: of its training part.
      batch_size: over all devices.
      order_keys: of `train.feed.order_keys`, one per seed; each seed has an order of its own.
      mesh: the devices.
      inner_steps: steps of a whole chunk.

    Raises:
      UserError: the set has fewer examples than a batch, or the processes can't share a batch.
    """

    per_seed = True

    def __init__(
        self,
        files: LayoutFiles,
        rows: Int[np.ndarray, " n"],
        batch_size: int,
        order_keys: jax.Array,
        mesh: Mesh,
        inner_steps: int,
    ):
        if len(rows) < batch_size:
            problem = f"there are {len(rows)} training examples, fewer than a batch"
            raise UserError("--train.batch-size", batch_size, problem, "give a smaller one, or more examples")
        self._files, self._rows = files, np.asarray(rows)
        self._errors: dict[int, UnreadableError] = {}
        self._sharding, self._inner_steps = split(mesh, axis=2), inner_steps
        words = np.asarray(jax.vmap(jax.random.bits)(order_keys)).reshape(len(order_keys))
        self._iterators = [iter(self._pipeline(batch_size, int(word))) for word in words]

    def chunk(self, step: int, count: int) -> PyTree:
        """Batches [seeds, inner_steps, batch, ...], of which the first `count` are meaningful.

        Raises:
          UserError: a file is not what it should be, or too many can't be read.
        """
        seeds = [self._next(iterator, step, count) for iterator in self._iterators]
        stacked = {key: np.stack([batch[key] for batch in seeds]) for key in seeds[0]}
        return jax.tree.map(lambda a: jax.make_array_from_process_local_data(self._sharding, a), stacked)

    def batch(
        self, chunk: PyTree, order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> PyTree:
        """The step's slice of what the dispatch brought."""
        batch = across_devices(jax.tree.map(lambda a: a[offset], chunk))
        return {key: a if key == "image" else a.astype(np.int32) for key, a in batch.items()}

    def state(self) -> dict[str, Any]:
        """Where the stream is, for the checkpoint: grain's iterator states and the unreadable files so far."""
        states = [iterator.get_state() for iterator in self._iterators]
        return {"iterators": states, "corrupt": list(self._files.corrupt.names)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes to where the stream was.

        Raises:
          UserError: the state is of another number of seeds.
        """
        states = state["iterators"]
        if len(states) != len(self._iterators):
            problem = f"the checkpoint holds the streams of {len(states)} seeds"
            raise UserError("--seeds", len(self._iterators), problem, "resume with as many")
        for iterator, own in zip(self._iterators, states, strict=True):
            iterator.set_state(own)
        self._files.corrupt.restore(tuple(state["corrupt"]))

    def _pipeline(self, batch_size: int, seed: int) -> grain.IterDataset:
        """Batches of one seed, of which this process reads its share."""
        process, processes = jax.process_index(), jax.process_count()
        if batch_size % processes:
            remedy = f"give a multiple of {processes}"
            raise UserError("--train.batch-size", batch_size, "does not divide over the processes", remedy)
        whole_batches = len(self._rows) // batch_size * batch_size
        return (
            grain.MapDataset.source(range(len(self._rows)))
            .seed(seed)
            .shuffle()[:whole_batches]
            .random_map(self._example)[process::processes]
            .batch(batch_size // processes, drop_remainder=True)
            .repeat(None)
            .to_iter_dataset(grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=READ_AHEAD))
        )

    def _example(self, position: int, random: np.random.Generator) -> Example:
        """The example at a position among the rows, or the next one that can be read.

        `passed_over` tells how many could not. Counting them is left to `chunk`, which sees batches in their order
        whatever the threads that read ahead of it do.
        """
        tries = min(len(self._rows), self._files.corrupt.limit + 1)
        for passed_over in range(tries):
            row = self._row(position + passed_over)
            try:
                example = self._files.example(row, random)
            except UnreadableError as error:
                self._errors[row] = error
                continue
            return self._compact(example, position, passed_over)
        blank = {key: array[0] for key, array in self._files.blank(1).items()}
        return self._compact(blank, position, tries)

    def _row(self, position: int) -> int:
        return int(self._rows[position % len(self._rows)])

    def _compact(self, example: Example, position: int, passed_over: int) -> Example:
        """Label maps in as few bytes as hold L, which is what reaches the devices."""
        label = example["label"].astype(np.min_scalar_type(self._files.layout.classes))
        return {
            **example,
            "label": label,
            "position": np.asarray(position),
            "passed_over": np.asarray(passed_over),
        }

    def _next(self, iterator: grain.DatasetIterator, step: int, count: int) -> Example:
        """The batches of the steps [step, step + count), the last one repeated up to a whole chunk."""
        if iterator.get_state() != {"next_index": step}:
            iterator.set_state({"next_index": step})
        batches = [next(iterator) for _ in range(count)]
        for batch in batches:
            self._count_corrupt(batch.pop("position"), batch.pop("passed_over"))
        batches += batches[-1:] * (self._inner_steps - count)
        return {key: np.stack([batch[key] for batch in batches]) for key in batches[0]}

    def _count_corrupt(self, positions: np.ndarray, passed_over: np.ndarray) -> None:
        for position, count in zip(positions.tolist(), passed_over.tolist(), strict=True):
            for error in (self._errors[self._row(position + i)] for i in range(count)):
                self._files.corrupt.add(error.name, error.reason)
            if count == len(self._rows):
                flag = self._files.flags[1]
                raise UserError(flag, self._files.name, "no example can be read", "give image files")
