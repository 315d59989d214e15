"""What `fit` trains: the pure functions of one seed, and the state that they carry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import flax.struct
import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from train.devices import one_device_mesh, use_mesh


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
    use: Callable[[State], PyTree] | None
    """What evaluation and the commands on runs compute with the networks of a state, on an example of any values;
    None where nothing is computed with them, as when all results are in the log. See `rehearse`."""
    eval_step: Callable[[State, PyTree, jax.Array], dict[str, jax.Array]] | None = None
    """For `evaluate_every`; without it a run is never validated while it trains. Of its metrics `criterion` decides
    what is best; "weight", where there is one, counts the real examples of a padded batch."""
    criterion: str = "loss"
    """The metric of `eval_step` that decides, where it is not its loss."""
    maximise: bool = False
    """Whether more of the criterion is better."""
    partition: Callable[[PyTree], PyTree] | None = None
    """The PartitionSpec of every leaf of a state, where not every device holds all of it."""


def rehearse(task: Task[State], validation: PyTree | None, mesh: Mesh) -> None:
    """Checks the shapes of what comes after training, so that no run ends in an error that could be known before.

    Args:
      task: what is trained.
      validation: batches [count, batch, ...] of `eval_step`; None where a run is never validated.
      mesh: what validation runs on; afterwards a model is used on one device.

    Raises:
      Exception: what `use` or `eval_step` raises on abstract arrays.
    """
    state = jax.eval_shape(task.init, jax.random.key(0))
    if task.use is not None:
        with use_mesh(one_device_mesh()):
            jax.eval_shape(task.use, state)
    if task.eval_step is not None and validation is not None:
        first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), validation)
        with use_mesh(mesh):
            jax.eval_shape(task.eval_step, state, first, jax.random.key(0))


class Carry(flax.struct.PyTreeNode, Generic[State]):
    """What a checkpoint holds: the state of every seed, stacked, and the moving average of its parameters."""

    state: State
    ema: PyTree

    def averaged(self) -> State:
        """The state to evaluate: with averaged parameters where there are any."""
        return self.state if self.ema is None else self.state.replace(params=self.ema)
