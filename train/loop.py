"""`fit`: trains any system, one seed or many, on one device or many, and survives being stopped at any moment."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int, PyTree

from train.checkpoint import Checkpoints
from train.config import TrainConfig
from train.devices import across_devices, replicated, use_mesh
from train.early_stopping import EarlyStopping
from train.errors import UserError
from train.feed import Feed, StatefulFeed, order_keys
from train.interrupt import Interrupt, Interrupted
from train.metrics_log import MetricsLog, Writer, tensorboard_writer
from train.progress import Progress
from train.run_directory import RunDirectory
from train.seeds import over_seeds


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
Which = Literal["last", "best"]
"""The newest checkpoint, or that of each seed's best validation loss."""
_LOG = logging.getLogger(__name__)
VALIDATION = 2**31 - 2
"""Folded into a seed's key for the noise of its validation; steps never reach it."""


@dataclass(frozen=True)
class Task(Generic[State]):
    """What is trained: pure functions of one seed. The state has fields `step`, `params` and `key`."""

    init: Callable[[jax.Array], State]
    train_step: Callable[[State, PyTree], tuple[State, dict[str, jax.Array]]]
    eval_step: Callable[[State, PyTree, jax.Array], dict[str, jax.Array]] | None = None
    """For `evaluate_every`; without it a run is never validated while it trains. Of its metrics "loss" decides what
    is best; "weight", where there is one, counts the real examples of a padded batch."""
    partition: Callable[[PyTree], PyTree] | None = None
    """The PartitionSpec of every leaf of a state, where not every device holds all of it."""


class Carry(flax.struct.PyTreeNode, Generic[State]):
    """What a checkpoint holds: the state of every seed, stacked, and the moving average of its parameters."""

    state: State
    ema: PyTree

    def averaged(self) -> State:
        """The state to evaluate: with averaged parameters where there are any."""
        return self.state if self.ema is None else self.state.replace(params=self.ema)


@dataclass(frozen=True)
class Fitted(Generic[State]):
    """What training left: the last state, and of each seed the state of its best validation loss."""

    last: State
    best: State
    step: int
    seconds: float


class NonFiniteError(Exception):
    """A loss or a gradient became infinite or NaN."""

    def __init__(self, step: int, term: str, seed: int, checkpoints: list[int], run: RunDirectory):
        kept = (
            f"the checkpoint of step {checkpoints[-1]} is intact"
            if checkpoints
            else "no checkpoint was due yet"
        )
        super().__init__(
            f"{term} of seed {seed} is not finite at step {step}; {kept} in {run.checkpoints}. "
            "Start a new run with a smaller --model.learning-rate, or in float32 where it was not."
        )
        self.step, self.term = step, term


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
      validation: batches [count, batch, ...], of which the metric "loss" decides what is best; None where
        `config.evaluate_every` is 0.
      keys: typed keys [seeds].
      config: how long and what is kept.
      run: where metrics and checkpoints go.
      mesh: the devices.
      first_seed: number of the first seed, for messages.
      profile: write a trace of the second dispatch.
      tensorboard: also write TensorBoard events.
      watch: is shown the step and the state to evaluate behind each checkpoint, e.g. to draw samples.

    Raises:
      Interrupted: after SIGINT or SIGTERM, with everything saved.
      NonFiniteError: naming the step and the term; the checkpoints are intact.
    """
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
        init = over_seeds(self._init, (0,), len(self.keys))
        self.shardings = self._shardings()
        self._fresh = jax.jit(init, out_shardings=self.shardings)
        self._chunk = self._jit_chunk()
        self._validate = jax.jit(
            over_seeds(self._validate_one, (0, None), len(self.keys)), out_shardings=replicated(self.mesh)
        )

    # What runs on the devices, for one seed.

    def _init(self, key: jax.Array) -> Carry[State]:
        state = self.task.init(key)
        return Carry(state, jax.tree.map(jnp.copy, state.params) if self.config.ema_decay else None)

    def _one_step(self, carry: Carry[State], batch: PyTree) -> tuple[Carry[State], dict[str, jax.Array]]:
        state, metrics = self.task.train_step(carry.state, batch)
        ema = carry.ema
        if ema is not None:
            ema = optax.incremental_update(state.params, ema, 1 - self.config.ema_decay)
        return Carry(state, ema), metrics

    def _run_chunk(
        self, carry: Carry[State], order_key: jax.Array, chunk: PyTree, count: Int[jax.Array, ""]
    ) -> tuple[Carry[State], dict[str, jax.Array]]:
        """`count` <= inner_steps updates; metrics [inner_steps], of which the first `count` are meaningful."""

        def body(i: jax.Array, loop: tuple) -> tuple:
            carry, history = loop
            batch = self.feed.batch(chunk, order_key, carry.state.step, i)
            carry, metrics = self._one_step(carry, batch)
            return carry, jax.tree.map(lambda h, m: h.at[i].set(m), history, metrics)

        batch = jax.eval_shape(self.feed.batch, chunk, order_key, carry.state.step, count)
        _, shapes = jax.eval_shape(self._one_step, carry, batch)
        history = jax.tree.map(lambda m: jnp.zeros((self.config.inner_steps, *m.shape), m.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (carry, history))

    def _validate_one(self, state: State, batches: PyTree) -> dict[str, jax.Array]:
        """Mean over the validation batches, plain as in the official GWAE package, or by their real examples."""
        assert self.task.eval_step is not None, "a task without eval_step has no evaluate_every"
        evaluate, key = self.task.eval_step, jax.random.fold_in(state.key, VALIDATION)
        count = jax.tree.leaves(batches)[0].shape[0]

        def one(_: None, item: tuple) -> tuple:
            batch, i = item
            return None, evaluate(state, across_devices(batch), jax.random.fold_in(key, i))

        _, metrics = jax.lax.scan(one, None, (batches, jnp.arange(count)))
        weight = metrics.pop("weight", None)
        return {name: jnp.average(values, weights=weight) for name, values in metrics.items()}

    def _shardings(self) -> PyTree:
        """Of a stacked carry: on every device, but for what the task divides."""
        if self.task.partition is None:
            return replicated(self.mesh)
        key = jax.ShapeDtypeStruct((), self.keys.dtype)
        specs = self.task.partition(jax.eval_shape(self._init, key))
        return jax.tree.map(lambda spec: NamedSharding(self.mesh, PartitionSpec(None, *spec)), specs)

    def _jit_chunk(self) -> Callable:
        in_axes = (0, 0, 0 if self.feed.per_seed else None, None)
        return jax.jit(
            over_seeds(self._run_chunk, in_axes, len(self.keys)),
            donate_argnums=0,
            out_shardings=(self.shardings, replicated(self.mesh)),
        )

    # What runs on the host.

    def restore(self) -> None:
        """The newest good checkpoint, or a fresh state."""
        keys = jax.ShapeDtypeStruct(self.keys.shape, self.keys.dtype)
        abstract = jax.eval_shape(self._fresh, keys)
        restored = self.last.restore(abstract)
        if restored is None:
            self.carry = self._fresh(self.keys)
            self.best = jax.tree.map(jnp.copy, self.carry.averaged())
            return
        self.carry, self.step = restored.state, restored.step
        self.stopping = EarlyStopping.from_json(restored.progress["early_stopping"])
        self.best_saved = restored.progress["best_checkpoint"]
        self.best = self._restore_best(abstract.averaged())
        if isinstance(self.feed, StatefulFeed) and "feed" in restored.progress:
            self.feed.restore(restored.progress["feed"])

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
                    self.carry, metrics = self._chunk(self.carry, self.order_keys, chunk, count)
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
            raise NonFiniteError(start + step + 1, name, self.first_seed + seed, self.last.steps(), self.run)

    def _evaluate(self, progress: Progress) -> bool:
        """Validates, keeps what is best of each seed, and tells whether anything improved."""
        state = self.carry.averaged()
        metrics = {name: np.asarray(value) for name, value in self._validate(state, self.validation).items()}
        self._check_finite(self.step - 1, {f"validation/{name}": m[:, None] for name, m in metrics.items()})
        improved = self.stopping.observe(self.step, metrics["loss"])
        mask = jnp.asarray(improved)
        self.best = _select(mask, state, self.best)
        for writer in self.writers:
            writer.write(self.step, {f"validation/{name}": value for name, value in metrics.items()})
        progress.say(f"step {self.step}  validation loss {np.mean(metrics['loss']):.4g}")
        return bool(improved.any())

    def _save(self, improved: bool) -> bool:
        """Saves the best state if it changed, then the last one, which says which best state belongs to it.

        A state with a number that is not finite is never saved: an optimiser's second moment can overflow while
        every gradient is finite, and then its parameter stands still for ever.
        """
        for name, fine in _finite(self.carry).items():
            if not fine.all():
                seed = self.first_seed + int(np.argmin(fine))
                raise NonFiniteError(self.step, name, seed, self.last.steps(), self.run)
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


@functools.partial(jax.jit, donate_argnums=2)
def _select(mask: jax.Array, new: State, old: State) -> State:
    """Per seed the new state where the mask is true, the old one elsewhere."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return a
        return jnp.where(mask.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def _finite(carry: Carry) -> dict[str, np.ndarray]:
    """For every floating leaf of a stacked tree, whether each seed's part is finite."""
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(carry)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }
    return {name: np.asarray(fine) for name, fine in _all_finite(leaves).items()}


@jax.jit
def _all_finite(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for name, leaf in leaves.items()}


def _agreed(requested: str | None) -> str | None:
    """The signal that any process received: all must stop after the same step."""
    names = (None, "SIGINT", "SIGTERM")
    asked = multihost_utils.process_allgather(np.asarray(names.index(requested)))
    return names[int(np.max(asked))]


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
