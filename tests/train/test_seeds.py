"""Mapping over seeds: alone, in sequence and vmapped give the same."""

import jax
import jax.numpy as jnp
import numpy as np

from train import seeds


def fn(state, shared, own):
    return {"sum": state["a"] + shared, "own": own * 2}


def test_keys_of_many_are_the_keys_of_each():
    keys = seeds.seed_keys(5, 3)
    for i in range(3):
        np.testing.assert_array_equal(
            jax.random.key_data(keys)[i], jax.random.key_data(jax.random.key(5 + i))
        )


def test_sequence_and_vmap_agree(monkeypatch):
    state, own = {"a": jnp.arange(3.0)}, jnp.ones((3, 2))
    in_sequence = jax.jit(seeds.over_seeds(fn, (0, None, 0), 3))(state, 10.0, own)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    vmapped = jax.jit(seeds.over_seeds(fn, (0, None, 0), 3))(state, 10.0, own)
    jax.tree.map(np.testing.assert_array_equal, in_sequence, vmapped)


def test_one_seed_keeps_its_axis():
    out = seeds.over_seeds(fn, (0, None, 0), 1)({"a": jnp.ones(1)}, 1.0, jnp.ones((1, 2)))
    assert out["sum"].shape == (1,) and out["own"].shape == (1, 2)
