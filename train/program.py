"""What `fit` runs on the devices: the programs of a task, for every seed at once."""

import functools
from dataclasses import dataclass
from typing import Generic

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int, PyTree

from train.config import TrainConfig
from train.devices import across_devices, replicated
from train.feed import Feed
from train.seeds import over_seeds
from train.task import Carry, State, Task

VALIDATION = 2**31 - 2
"""Folded into a seed's key for the noise of its validation; steps never reach it."""


@dataclass
class Program(Generic[State]):
    """The compiled functions of a training run.

    Attributes:
      fresh: keys [seeds] -> the stacked carry before the first update.
      chunk: (carry, order keys, chunk of the feed, count) -> the carry after `count` <= inner_steps updates and its
        metrics [seeds, inner_steps], of which the first `count` are meaningful. The carry given is gone.
      validate: (state, batches [count, batch, ...]) -> metrics [seeds].
    """

    task: Task[State]
    feed: Feed
    keys: jax.Array
    config: TrainConfig
    mesh: Mesh

    def __post_init__(self) -> None:
        count, everywhere = len(self.keys), replicated(self.mesh)
        shardings = self._shardings()
        self.fresh = jax.jit(over_seeds(self._init, (0,), count), out_shardings=shardings)
        in_axes = (0, 0, 0 if self.feed.per_seed else None, None)
        self.chunk = jax.jit(
            over_seeds(self._run_chunk, in_axes, count),
            donate_argnums=0,
            out_shardings=(shardings, everywhere),
        )
        self.validate = jax.jit(over_seeds(self._validate_one, (0, None), count), out_shardings=everywhere)

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


@functools.partial(jax.jit, donate_argnums=2)
def select(mask: jax.Array, new: State, old: State) -> State:
    """Per seed the new state where the mask is true, the old one elsewhere."""

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return a
        return jnp.where(mask.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def finite(carry: Carry) -> dict[str, np.ndarray]:
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
