"""Session-parallel minibatches (Hidasi et al., ICLR 2016, section 3.1.1): which event each slot sees at each step.

Sessions in order of their start fill the slots; each slot walks through its session, an event a step, and takes the
next waiting session when it is done. When none waits, slots stay empty and the batch has fewer valid rows.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int

from train.data.sessions import Sessions
from train.devices import across_devices, replicated


@dataclass(frozen=True)
class Schedule:
    """What every slot does at every step of an epoch.

    Attributes:
      input: the item that comes in.
      target: the item that comes next, to be predicted.
      reset: whether a session begins here, so that the hidden state before it counts as 0.
      valid: whether the slot has an event at all; the other arrays hold 0 where not.
      event: the place of the target in `Sessions.items`.
    """

    input: Int[np.ndarray, "steps slots"]
    target: Int[np.ndarray, "steps slots"]
    reset: Bool[np.ndarray, "steps slots"]
    valid: Bool[np.ndarray, "steps slots"]
    event: Int[np.ndarray, "steps slots"]

    def __len__(self) -> int:
        return len(self.input)

    @property
    def batches(self) -> dict[str, np.ndarray]:
        """What the steps need, by name."""
        return {"input": self.input, "target": self.target, "reset": self.reset, "valid": self.valid}

    def in_event_order(self, values: np.ndarray) -> np.ndarray:
        """Values [..., steps, slots] of all predictions as [..., predictions], in the order of their events."""
        return values[..., self.valid][..., np.argsort(self.event[self.valid])]


def session_parallel(sessions: Sessions, slots: int, least: int = 1) -> Schedule:
    """The schedule of one pass over the sessions.

    Args:
      sessions: at least two events each.
      slots: rows of a batch.
      least: the pass ends when fewer slots than this have an event (two, where targets are each other's negatives).

    Raises:
      ValueError: a session has fewer than two events.
    """
    if np.any(sessions.lengths < 2):
        raise ValueError("a session of fewer than two events has nothing to predict")
    order = np.argsort(sessions.time[sessions.starts[:-1]], kind="stable")
    pairs = sessions.lengths[order] - 1
    begin, slot = _places(pairs, slots)
    shape = (int((begin + pairs).max(initial=0)), slots)
    # Of each pair its place in its session, and from there step, slot and event.
    place = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    where = (np.repeat(begin, pairs) + place, np.repeat(slot, pairs))
    event = np.zeros(shape, np.int32)
    event[where] = np.repeat(sessions.starts[:-1][order], pairs) + place + 1
    valid, reset = np.zeros(shape, bool), np.zeros(shape, bool)
    valid[where], reset[where] = True, place == 0
    steps = int((valid.sum(1) >= least).sum())
    items = np.where(valid, sessions.items[event - valid], 0), np.where(valid, sessions.items[event], 0)
    return Schedule(*(a[:steps] for a in (*items, reset, valid, event)))


def _places(pairs: Int[np.ndarray, " sessions"], slots: int) -> tuple[np.ndarray, np.ndarray]:
    """The first step and the slot of each session: the next one goes to the slot that is free first."""
    free = [(0, slot) for slot in range(slots)]
    begin, slot = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64)
    for session, length in enumerate(pairs.tolist()):
        begin[session], slot[session] = free[0]
        heapq.heapreplace(free, (free[0][0] + length, free[0][1]))
    return begin, slot


@dataclass(frozen=True)
class SessionFeed:
    """A feed (see `train.feed.Feed`) of the steps of a schedule, epoch after epoch in the same order for all seeds.

    Attributes:
      slots: input, target, reset and valid, [steps, slots], on the devices.
      whole: what every batch has besides, on the devices.
    """

    slots: dict[str, Array]
    whole: dict[str, Array]
    per_seed: bool = False

    @classmethod
    def place(cls, schedule: Schedule, whole: Mapping[str, np.ndarray], mesh: Mesh) -> "SessionFeed":
        """Puts the schedule and what comes with every batch on every device of the mesh."""

        def placed(array: np.ndarray) -> jax.Array:
            return jax.make_array_from_callback(array.shape, replicated(mesh), lambda where: array[where])

        return cls(jax.tree.map(placed, schedule.batches), jax.tree.map(placed, dict(whole)))

    def chunk(self, step: int, count: int) -> tuple[dict[str, Array], dict[str, Array]]:
        """The schedule, whatever the step, and what comes with it."""
        return self.slots, self.whole

    def batch(
        self,
        chunk: tuple[dict[str, Array], dict[str, Array]],
        order_key: jax.Array,
        step: Int[Array, ""],
        offset: Int[Array, ""],
    ) -> dict[str, Array]:
        """The step's row [slots] of every array of the schedule, and the others whole."""
        slots, whole = chunk
        return across_devices({name: array[step % array.shape[0]] for name, array in slots.items()}) | whole
