"""How an update is made from losses and optimisers: by one loss, or by several players in turn.

A system says what it minimises, with what, and on which noise; a state, gradients, steps of optimisers and counting
are here. Noise is an argument of every update, so that one can be repeated on the draws of another program.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from train.devices import across_devices

Metrics = dict[str, jax.Array]


class State(flax.struct.PyTreeNode):
    """Of one seed. `optimiser` is by player where there are several; `collections` are what networks keep beside
    parameters, by network, None where none keeps any; every update folds its step in `key` for its noise."""

    step: Int[Array, ""]
    params: PyTree
    optimiser: PyTree
    key: jax.Array
    collections: PyTree = None


def fresh(key: jax.Array, params: PyTree, optimiser: PyTree, collections: PyTree = None) -> State:
    """The state before the first update, from the fresh state of the optimiser."""
    return State(jnp.zeros((), jnp.int32), params, optimiser, key, collections)


def noise_key(state: State) -> jax.Array:
    """The key of the noise of the next update, a function of (key, step)."""
    return jax.random.fold_in(state.key, state.step)


class Descent(NamedTuple):
    """What a step of an optimiser leaves: parameters, its state, the gradient, what the loss said beside its value."""

    params: PyTree
    optimiser: PyTree
    gradient: PyTree
    said: Any


def descend(
    loss: Callable[..., tuple[jax.Array, Any]],
    rule: optax.GradientTransformation,
    params: PyTree,
    optimiser: PyTree,
    *given: Any,
) -> Descent:
    """One step of the rule down loss(params, *given) -> (value, what it says)."""
    gradient, said = jax.grad(loss, has_aux=True)(params, *given)
    updates, optimiser = rule.update(gradient, optimiser, params)
    return Descent(optax.apply_updates(params, updates), optimiser, gradient, said)


def single_loss(
    loss: Callable[..., tuple[jax.Array, Metrics]], rule: optax.GradientTransformation
) -> Callable[..., tuple[State, Metrics]]:
    """An update (state, *given) -> (state, metrics) of networks without collections, by
    loss(params, *given) -> (value, metrics)."""

    def update(state: State, *given: Any) -> tuple[State, Metrics]:
        params, optimiser, _, metrics = descend(loss, rule, state.params, state.optimiser, *given)
        return state.replace(step=state.step + 1, params=params, optimiser=optimiser), metrics

    return update


class Given(NamedTuple):
    """What a player's loss is of beside the parameters. `step` counts updates and is None in evaluation; `handed` is
    what the player before hands on, of no gradient."""

    batch: PyTree
    noise: PyTree
    collections: PyTree
    step: Int[Array, ""] | None
    handed: PyTree


class Said(NamedTuple):
    """What a player's loss says beside its value; `hands` is for the player after it."""

    metrics: Metrics
    collections: PyTree
    hands: PyTree = None


@dataclass(frozen=True)
class Player:
    """Moves the parameters of some networks, given those of all, down a loss of its own."""

    networks: tuple[str, ...]
    loss: Callable[[PyTree, Given], tuple[jax.Array, Said]]
    rule: optax.GradientTransformation
    turns: int = 1
    """In each update; if more than one, its noise has a leading axis of turns, and its metrics are of the last."""
    prefix: str = ""
    """Of its metric gradient_norm."""

    def own(self, params: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """The parameters that it moves."""
        return {name: params[name] for name in self.networks}

    def play(self, params: dict[str, PyTree], optimiser: PyTree, given: Given) -> tuple[dict, PyTree, Said]:
        """All parameters, the optimiser's state and what the loss said, after its turns."""

        def turn(carry: tuple[dict, PyTree, PyTree], noise: PyTree) -> tuple[tuple, tuple[Metrics, PyTree]]:
            params, optimiser, collections = carry
            now = given._replace(noise=across_devices(noise), collections=collections)

            def loss(own: dict[str, PyTree]) -> tuple[jax.Array, Said]:
                return self.loss({**params, **own}, now)

            own, optimiser, gradient, said = descend(loss, self.rule, self.own(params), optimiser)
            metrics = {**said.metrics, f"{self.prefix}gradient_norm": gradient_norm(gradient)}
            return ({**params, **own}, optimiser, said.collections), (metrics, said.hands)

        start = params, optimiser, given.collections
        if self.turns == 1:
            (params, optimiser, collections), last = turn(start, given.noise)
        else:
            (params, optimiser, collections), every = jax.lax.scan(turn, start, given.noise, self.turns)
            last = jax.tree.map(lambda values: values[-1], every)
        return params, optimiser, Said(last[0], collections, last[1])


@dataclass(frozen=True)
class Alternating:
    """Players that take turns in their order on one batch, each on the networks as those before it left them.

    Noise is by player; so is the state of the optimisers, if there are several.
    """

    players: Mapping[str, Player]

    def init(self, key: jax.Array, params: dict[str, PyTree], collections: PyTree) -> State:
        """The state before the first update."""
        states = {name: player.rule.init(player.own(params)) for name, player in self.players.items()}
        return fresh(key, params, self._stored(states), collections)

    def update(self, state: State, batch: PyTree, noise: Mapping[str, PyTree]) -> tuple[State, Metrics]:
        """One update with given noise."""
        params, collections, metrics, handed = state.params, state.collections, {}, None
        alone = len(self.players) == 1
        states = dict.fromkeys(self.players, state.optimiser) if alone else dict(state.optimiser)
        for name, player in self.players.items():
            given = Given(batch, noise[name], collections, state.step, handed)
            params, states[name], (said, collections, handed) = player.play(params, states[name], given)
            metrics |= said
        step, optimiser = state.step + 1, self._stored(states)
        return state.replace(step=step, params=params, optimiser=optimiser, collections=collections), metrics

    def evaluate(self, state: State, batch: PyTree, noise: Mapping[str, PyTree]) -> Metrics:
        """The metrics of every player's loss, on the noise of its first turn; nothing moves."""
        metrics, handed = {}, None
        for name, player in self.players.items():
            own = noise[name] if player.turns == 1 else jax.tree.map(lambda a: a[0], noise[name])
            given = Given(batch, across_devices(own), state.collections, None, handed)
            _, (said, _, handed) = player.loss(state.params, given)
            metrics |= said
        return metrics

    def _stored(self, states: dict[str, PyTree]) -> PyTree:
        return states if len(states) > 1 else next(iter(states.values()))


def gradient_norm(gradient: PyTree) -> Float[Array, ""]:
    """Euclidean norm over all leaves; finite wherever the gradient is, however large."""
    largest = optax.tree.norm(gradient, ord="inf")
    scale = jnp.where(largest > 0, largest, 1.0)
    return scale * optax.tree.norm(jax.tree.map(lambda g: g / scale, gradient))
