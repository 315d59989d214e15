"""How updates are made: one loss, players in turn, what they hand on, and states of one or several optimisers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import host_state
from train.update import (
    Alternating,
    Given,
    Player,
    Said,
    descend,
    fresh,
    gradient_norm,
    noise_key,
    single_loss,
)

KEY = jax.random.key(0)
SGD = optax.sgd(0.1)


def square(params, target):
    return jnp.sum((params["w"] - target) ** 2), {"loss": jnp.sum((params["w"] - target) ** 2)}


def test_one_loss():
    params = {"w": jnp.asarray([1.0, -2.0])}
    state = fresh(KEY, params, SGD.init(params))
    after, metrics = jax.jit(single_loss(square, SGD))(state, 0.5)
    assert after.step == 1 and metrics["loss"] == 0.25 + 6.25
    np.testing.assert_allclose(after.params["w"], [1 - 0.1, -2 + 0.5])
    assert after.collections is None


def test_a_descent_gives_gradient_and_what_the_loss_said():
    step = descend(square, SGD, {"w": jnp.asarray([3.0])}, SGD.init({"w": jnp.zeros(1)}), 1.0)
    np.testing.assert_allclose(step.gradient["w"], [4.0])
    np.testing.assert_allclose(step.params["w"], [2.6])
    assert step.said == {"loss": 4.0}


def test_noise_is_of_key_and_step():
    state = fresh(KEY, {}, ())
    keys = [noise_key(state), noise_key(state.replace(step=jnp.int32(1)))]
    assert (jax.random.key_data(keys[0]) != jax.random.key_data(keys[1])).any()
    expected = jax.random.fold_in(KEY, 1)
    np.testing.assert_array_equal(jax.random.key_data(keys[1]), jax.random.key_data(expected))


def chaser(params, given: Given):
    """Runs after the noise; counts its calls in its collection, and hands on where it stands."""
    loss = 0.5 * (params["a"] - given.noise) ** 2
    return loss, Said({"loss": loss}, {"calls": given.collections["calls"] + 1}, hands=params["a"])


def follower(params, given: Given):
    """Runs after what was handed on, with some sight of the first player as it is now."""
    loss = 0.5 * (params["b"] - given.handed) ** 2 + given.noise * params["a"]
    return loss, Said({"follower_loss": loss}, {"calls": given.collections["calls"] + 1})


def alternating(turns=1):
    rule = optax.sgd(0.5, momentum=0.0)
    return Alternating(
        {
            "main": Player(("a",), chaser, rule),
            "other": Player(("b",), follower, rule, turns, prefix="other_"),
        }
    )


def start(players):
    return players.init(KEY, {"a": jnp.float32(0), "b": jnp.float32(10)}, {"calls": jnp.float32(0)})


def test_players_take_turns_and_hand_on_what_was_before():
    players = alternating()
    state = start(players)
    noise = {"main": jnp.float32(4), "other": jnp.float32(1)}
    after, metrics = jax.jit(players.update)(state, None, noise)
    assert after.params == {"a": 2.0, "b": 5.0}  # b runs after a = 0, not the new a
    assert metrics == {
        "loss": 8.0,
        "gradient_norm": 4.0,
        "follower_loss": 50.0 + 2.0,  # of the new a
        "other_gradient_norm": 10.0,
    }
    assert after.step == 1 and after.collections["calls"] == 2
    assert set(after.optimiser) == {"main", "other"}


@pytest.mark.parametrize("turns", [2, 3])
def test_several_turns_each_with_its_noise(turns):
    players = alternating(turns)
    noise = {"main": jnp.float32(4), "other": jnp.arange(1.0, turns + 1)}
    after, metrics = jax.jit(players.update)(start(players), None, noise)
    assert after.params == {"a": 2.0, "b": 10 / 2**turns}
    assert metrics["follower_loss"] == 0.5 * (10 / 2 ** (turns - 1)) ** 2 + turns * 2.0
    assert after.collections["calls"] == 1 + turns


def test_evaluation_moves_nothing():
    players = alternating(2)
    state = start(players)
    noise = {"main": jnp.float32(4), "other": jnp.asarray([1.0, 7.0])}
    assert players.evaluate(state, None, noise) == {"loss": 8.0, "follower_loss": 50.0}
    assert state.collections["calls"] == 0


def test_a_lone_player_keeps_its_optimiser_by_itself():
    """As saved states of systems with one loss have it."""
    players = Alternating({"main": Player(("a",), chaser, optax.adam(0.1))})
    names = set(host_state.named_leaves(start(players)))
    assert {"optimiser/0/count", "optimiser/0/mu/a", "params/b", "collections/calls", "step", "key"} < names
    after, _ = players.update(start(players), None, {"main": jnp.float32(1)})
    assert jax.tree.structure(after) == jax.tree.structure(start(players))


def test_norm_of_a_huge_gradient_is_finite_and_of_a_broken_one_is_not():
    small = {"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(4.0)}
    np.testing.assert_allclose(gradient_norm(small), optax.tree.norm(small))
    np.testing.assert_allclose(gradient_norm({"a": jnp.full(4, 1e30)}), 2e30, rtol=1e-6)
    assert gradient_norm({"a": jnp.zeros(2)}) == 0
    for bad in (jnp.nan, jnp.inf):
        assert not np.isfinite(gradient_norm({"a": jnp.asarray([1.0, bad])}))
