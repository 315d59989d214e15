"""The state of a run's checkpoints, outside training: reading it, and storing weights from elsewhere there."""

from typing import Literal

import jax
import jax.numpy as jnp

from train.checkpoint import Checkpoints
from train.config import TrainConfig
from train.early_stopping import EarlyStopping
from train.errors import UserError
from train.run_directory import RunDirectory
from train.seeds import over_seeds
from train.task import Carry, State, Task, TrainState

Which = Literal["last", "best"]
"""The newest checkpoint, or that of each seed's best validation loss."""


def load_state(
    task: Task[State], keys: jax.Array, config: TrainConfig, run: RunDirectory, which: Which
) -> State:
    """The stacked state of the `last` or the `best` checkpoint of a run, on the default device.

    Raises:
      UserError: the run has no such checkpoint, or was made with other settings.
    """

    def init(key: jax.Array) -> Carry[State]:
        state = task.init(key)
        return Carry(state, state.params if config.ema_decay else None)

    spec = jax.ShapeDtypeStruct(keys.shape, keys.dtype)
    abstract = jax.eval_shape(over_seeds(init, (0,), len(keys)), spec)
    last = Checkpoints(run.checkpoints / "last").restore(abstract)
    if last is None:
        raise UserError(
            str(run.path), which, "has no checkpoint yet", "train it first, or wait for the first one"
        )
    best_step = last.progress["best_checkpoint"]
    if which == "best" and best_step < 0:
        raise UserError(
            str(run.path), which, "was never evaluated, so it has no best state", "use --checkpoint last"
        )
    if which == "last":
        return last.state.averaged()
    best = Checkpoints(run.checkpoints / "best").restore(abstract.averaged(), step=best_step)
    if best is None:
        raise UserError(str(run.path), which, "has no best checkpoint", "use --checkpoint last")
    return best.state


def save_state(state: TrainState, config: TrainConfig, run: RunDirectory) -> None:
    """Makes a stacked state the newest and the best checkpoint of a run, for weights that were not trained there.

    The inverse of `load_state`. Training goes on from it, and its first validation counts as better.

    Raises:
      UserError: it can't be written.
    """
    step, stopping = int(jnp.max(state.step)), EarlyStopping.start(len(state.key))
    ema = state.params if config.ema_decay else None
    Checkpoints(run.checkpoints / "best").save(step, state, {})
    progress = {"early_stopping": stopping.to_json(), "best_checkpoint": step}
    Checkpoints(run.checkpoints / "last").save(step, Carry(state, ema), progress)
