"""`fit`: trains any system, one seed or many, on one device or many, and survives being stopped at any moment."""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import PyTree

from train.checkpoint import Checkpoints
from train.config import TrainConfig
from train.devices import use_mesh
from train.early_stopping import EarlyStopping
from train.errors import UserError
from train.feed import Feed, StatefulFeed, order_keys
from train.interrupt import Interrupt, Interrupted
from train.metrics_log import MetricsLog, Writer, read_metrics, tensorboard_writer
from train.non_finite import NonFiniteError, cause_in
from train.program import Program, finite, select
from train.progress import Progress
from train.run_directory import RunDirectory
from train.task import State, Task, rehearse

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted(Generic[State]):
    """What training left: the last state, and of each seed the state of its best validation loss."""

    last: State
    best: State
    step: int
    seconds: float


def fit(
    task: Task[State],
    feed: Feed,
    validation: PyTree,
    keys: jax.Array,
    config: TrainConfig,
    run: RunDirectory,
    mesh: Mesh,
    *,
    first_seed: int = 0,
    profile: bool = False,
    tensorboard: bool = False,
    watch: Callable[[int, State], None] | None = None,
) -> Fitted[State]:
    """Trains until `config.steps` or early stopping, from the newest good checkpoint of the run if it has one.

    Args:
      task: what is trained.
      feed: training batches.
      validation: batches [count, batch, ...], of which the task's criterion decides what is best; None where
        `config.evaluate_every` is 0.
      keys: typed keys [seeds].
      config: how long and what is kept.
      run: where metrics and checkpoints go.
      mesh: the devices.
      first_seed: number of the first seed, for messages.
      profile: write a trace of the second dispatch.
      tensorboard: also write TensorBoard events.
      watch: called with the step and the state to evaluate after each checkpoint, e.g. to draw samples.

    Raises:
      Interrupted: after SIGINT or SIGTERM, with everything saved.
      NonFiniteError: naming the step and the term; the checkpoints are intact.
    """
    rehearse(task, validation if config.evaluate_every else None, mesh)
    with use_mesh(mesh), contextlib.ExitStack() as stack:
        loop = _Loop(task, feed, validation, keys, config, run, mesh, first_seed, watch)
        stack.callback(loop.close)
        loop.restore()
        loop.open_logs(tensorboard)
        interrupt = stack.enter_context(Interrupt())
        return loop.train(interrupt, profile)


@dataclass
class _Loop(Generic[State]):
    task: Task[State]
    feed: Feed
    validation: PyTree
    keys: jax.Array
    config: TrainConfig
    run: RunDirectory
    mesh: Mesh
    first_seed: int
    watch: Callable[[int, State], None] | None
    step: int = 0
    stopping: EarlyStopping = field(init=False)
    writers: list[Writer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopping = EarlyStopping.start(len(self.keys))
        self.last = Checkpoints(self.run.checkpoints / "last", keep=3)
        # One more than `last` keeps: each of those may refer to a best state of its own while the next is saved.
        self.best_store = Checkpoints(self.run.checkpoints / "best", keep=4)
        self.best_saved = -1
        self.order_keys = order_keys(self.keys)
        self.program = Program(self.task, self.feed, self.keys, self.config, self.mesh)

    def restore(self) -> None:
        """The newest good checkpoint, or a fresh state."""
        keys = jax.ShapeDtypeStruct(self.keys.shape, self.keys.dtype)
        abstract = jax.eval_shape(self.program.fresh, keys)
        restored = self.last.restore(abstract)
        if restored is None:
            self._say_what_is_lost()
            self.carry = self.program.fresh(self.keys)
            self.best = jax.tree.map(jnp.copy, self.carry.averaged())
            return
        self.carry, self.step = restored.state, restored.step
        self.stopping = EarlyStopping.from_json(restored.progress["early_stopping"])
        self.best_saved = restored.progress["best_checkpoint"]
        self.best = self._restore_best(abstract.averaged())
        if isinstance(self.feed, StatefulFeed) and "feed" in restored.progress:
            self.feed.restore(restored.progress["feed"])

    def _say_what_is_lost(self) -> None:
        """Where updates were logged and no checkpoint is there: a run from which they were removed starts again."""
        if not self.run.metrics.is_file() or jax.process_index() != 0:
            return
        logged = [int(steps[-1]) for steps, _ in read_metrics(self.run.metrics).values()]
        if logged:
            where = self.last.directory
            _LOG.warning(
                "there is no checkpoint in %s to continue from: %d updates were logged, but training starts at step 0",
                where,
                max(logged),
            )

    def _restore_best(self, abstract: State) -> State:
        """The best state that belongs to the restored one; where it is damaged, the search for it starts anew."""
        if self.best_saved >= 0:
            try:
                best = self.best_store.restore(abstract, step=self.best_saved)
            except UserError as damage:
                _LOG.warning("the best state so far is lost, the run continues without it: %s", damage)
                self.stopping, self.best_saved = EarlyStopping.start(len(self.keys)), -1
            else:
                if best is not None:
                    return best.state
        return jax.tree.map(jnp.copy, self.carry.averaged())

    def open_logs(self, tensorboard: bool) -> None:
        """The first process alone writes metrics."""
        if jax.process_index() == 0:
            self.writers.append(MetricsLog(self.run.metrics, resumed_at=self.step))
            if tensorboard:
                self.writers.append(tensorboard_writer(self.run.path / "tensorboard", resumed_at=self.step))

    def train(self, interrupt: Interrupt, profile: bool) -> Fitted[State]:
        """The loop: one dispatch ahead of what the host reads."""
        config, progress = self.config, Progress(self.config.steps, self.step)
        began, improved, pending, dispatches = time.monotonic(), False, None, 0
        with contextlib.closing(progress):
            if self.step < config.steps:
                progress.say("compiling the training step ...")
            while self.step < config.steps and not self.stopping.done(config.patience):
                # The first dispatch is a single step, so that something is seen soon.
                count = 1 if dispatches == 0 else self._until_boundary()
                with self._trace(profile and dispatches == 1):
                    chunk = self.feed.chunk(self.step, count)
                    self.carry, metrics = self.program.chunk(self.carry, self.order_keys, chunk, count)
                    if profile:
                        jax.block_until_ready(metrics)
                dispatches += 1
                if pending:
                    self._record(*pending, progress)
                pending = (self.step, count, metrics)
                self.step += count
                asked = self._asked(interrupt, dispatches)
                if asked or self._due(config.evaluate_every) or self._due(config.checkpoint_every):
                    self._record(*pending, progress)
                    pending = None
                if self._due(config.evaluate_every) or (config.evaluate_every and self.step == config.steps):
                    improved = self._evaluate(progress) or improved
                if asked or self._due(config.checkpoint_every):
                    improved = self._save(improved)
                if asked:
                    raise Interrupted(asked, self.step, self.run)
            if pending:
                self._record(*pending, progress)
        self._save(improved)
        # While the last state was saved; several processes would have to agree, and go on to the end instead.
        if interrupt.requested and jax.process_count() == 1:
            raise Interrupted(interrupt.requested, self.step, self.run)
        best = self.best if self.config.evaluate_every else self.carry.averaged()
        return Fitted(self.carry.averaged(), best, self.step, time.monotonic() - began)

    def _asked(self, interrupt: Interrupt, dispatches: int) -> str | None:
        """The signal to stop for. Processes agree on it now and then only, since asking waits for the devices."""
        if jax.process_count() == 1:
            return interrupt.requested
        return _agreed(interrupt.requested) if dispatches % 10 == 0 else None

    def _until_boundary(self) -> int:
        ends = [self.step + self.config.inner_steps, self.config.steps]
        for every in (self.config.evaluate_every, self.config.checkpoint_every):
            if every:
                ends.append((self.step // every + 1) * every)
        return min(ends) - self.step

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _trace(self, wanted: bool) -> contextlib.AbstractContextManager[Any]:
        return jax.profiler.trace(str(self.run.path / "profile")) if wanted else contextlib.nullcontext()

    def _record(self, start: int, count: int, metrics: dict[str, jax.Array], progress: Progress) -> None:
        """Reads the metrics [seeds, inner_steps] of a dispatch, checks them, and logs every `log_every`-th step."""
        host = {name: np.asarray(jax.device_get(values))[:, :count] for name, values in metrics.items()}
        self._check_finite(start, host)
        for i in range(count):
            step = start + i + 1
            if step % self.config.log_every == 0 or step == 1:
                for writer in self.writers:
                    writer.write(step, {name: values[:, i] for name, values in host.items()})
        progress.update(start + count, {name: values[:, -1] for name, values in host.items()})

    def _check_finite(self, start: int, metrics: dict[str, np.ndarray]) -> None:
        bad = [
            (int(step), int(seed), name)
            for name, values in metrics.items()
            for seed, step in np.argwhere(~np.isfinite(values))
        ]
        if bad:
            # Terms before their sum, the sum before gradients: the first cause is the one to name.
            def rank(item: tuple[int, int, str]) -> tuple:
                return item[0], item[2].endswith("gradient_norm"), item[2] in ("loss", "critic_loss"), item[2]

            step, seed, name = min(bad, key=rank)
            raise self._not_finite(start + step + 1, name, self.first_seed + seed)

    def _not_finite(self, step: int, name: str, seed: int) -> NonFiniteError:
        try:
            cause = cause_in(self.feed.chunk(self.step, 1))
        except Exception:  # whatever the feed meets there, it is not what to report now
            cause = ""
        return NonFiniteError(step, name, seed, self.last.steps(), self.run, cause)

    def _evaluate(self, progress: Progress) -> bool:
        """Validates, keeps what is best of each seed, and tells whether anything improved."""
        state = self.carry.averaged()
        metrics = {
            name: np.asarray(value) for name, value in self.program.validate(state, self.validation).items()
        }
        self._check_finite(self.step - 1, {f"validation/{name}": m[:, None] for name, m in metrics.items()})
        decides = metrics[self.task.criterion]
        improved = self.stopping.observe(self.step, -decides if self.task.maximise else decides)
        mask = jnp.asarray(improved)
        self.best = select(mask, state, self.best)
        for writer in self.writers:
            writer.write(self.step, {f"validation/{name}": value for name, value in metrics.items()})
        progress.say(f"step {self.step}  validation {self.task.criterion} {np.mean(decides):.4g}")
        return bool(improved.any())

    def _save(self, improved: bool) -> bool:
        """Saves the best state if it changed, then the last one, which says which best state belongs to it.

        A state with a number that is not finite is never saved: an optimiser's second moment can overflow while
        every gradient is finite, and then its parameter stands still forever.
        """
        for name, fine in finite(self.carry).items():
            if not fine.all():
                seed = self.first_seed + int(np.argmin(fine))
                raise self._not_finite(self.step, name, seed)
        if improved:
            self.best_store.save(self.step, self.best, {})
            self.best_saved = self.step
        progress = {"early_stopping": self.stopping.to_json(), "best_checkpoint": self.best_saved}
        if isinstance(self.feed, StatefulFeed):
            progress["feed"] = self.feed.state()
        self.last.save(self.step, self.carry, progress)
        if self.watch is not None:
            self.watch(self.step, self.carry.averaged())
        return False

    def close(self) -> None:
        """Releases files."""
        for closing in (*self.writers, self.last, self.best_store):
            closing.close()


def _agreed(requested: str | None) -> str | None:
    """The signal that any process received: all must stop after the same step."""
    names = (None, "SIGINT", "SIGTERM")
    asked = multihost_utils.process_allgather(np.asarray(names.index(requested)))
    return names[int(np.max(asked))]
