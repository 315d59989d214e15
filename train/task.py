"""What `fit` trains: the pure functions of one seed, and the state that they carry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import flax.struct
import jax
from jaxtyping import PyTree


class TrainState(Protocol):
    """What the loop needs of a state: updates done, parameters, the key of its run."""

    @property
    def step(self) -> jax.Array: ...
    @property
    def params(self) -> PyTree: ...
    @property
    def key(self) -> jax.Array: ...

    def replace(self, **changes: Any) -> Self:
        """A copy with changed fields."""
        ...


State = TypeVar("State", bound=TrainState)


@dataclass(frozen=True)
class Task(Generic[State]):
    """What is trained: pure functions of one seed. The state has fields `step`, `params` and `key`."""

    init: Callable[[jax.Array], State]
    train_step: Callable[[State, PyTree], tuple[State, dict[str, jax.Array]]]
    eval_step: Callable[[State, PyTree, jax.Array], dict[str, jax.Array]] | None = None
    """For `evaluate_every`; without it a run is never validated while it trains. Of its metrics `criterion` decides
    what is best; "weight", where there is one, counts the real examples of a padded batch."""
    criterion: str = "loss"
    """The metric of `eval_step` that decides, where it is not its loss."""
    maximise: bool = False
    """Whether more of the criterion is better."""
    partition: Callable[[PyTree], PyTree] | None = None
    """The PartitionSpec of every leaf of a state, where not every device holds all of it."""


class Carry(flax.struct.PyTreeNode, Generic[State]):
    """What a checkpoint holds: the state of every seed, stacked, and the moving average of its parameters."""

    state: State
    ema: PyTree

    def averaged(self) -> State:
        """The state to evaluate: with averaged parameters where there are any."""
        return self.state if self.ema is None else self.state.replace(params=self.ema)
