"""One-hot layouts and instance edges, by hand, by brute force and against the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmodels.semantics import instance_edges, semantics
from tests.jaxmodels.spade_goldens import load, nhwc

LABEL = jnp.asarray([[[0, 2, 3], [1, 1, 0]]])
INSTANCE = jnp.asarray([[[7, 7, 7], [7, 7, 9]]])
EDGES = jax.jit(instance_edges)


def test_one_hot_then_edges():
    out = np.asarray(semantics(LABEL, 4, INSTANCE))
    np.testing.assert_array_equal(out[..., :4], np.eye(4)[np.asarray(LABEL)])
    np.testing.assert_array_equal(out[0, ..., 4], [[0, 0, 1], [0, 1, 1]])


def test_without_instances_no_edges():
    out = semantics(LABEL, 4)
    assert out.shape == (1, 2, 3, 4)
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out.sum(-1), 1)


def test_labels_outside_see_nothing():
    np.testing.assert_array_equal(semantics(jnp.asarray([[[-1, 4, 255]]]), 4), 0)


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_edges_by_brute_force(seed):
    """A pixel is an edge where one of its neighbours inside the image, and only of its own image, differs."""
    instance = np.random.default_rng(seed).integers(0, 2, (2, 5, 7))
    expected = np.zeros(instance.shape)
    for b, i, j in np.ndindex(*instance.shape):
        for row, column in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= row < 5 and 0 <= column < 7 and instance[b, row, column] != instance[b, i, j]:
                expected[b, i, j] = 1
    np.testing.assert_array_equal(EDGES(instance), expected)


def test_edges_do_not_depend_on_the_numbers():
    renamed = jnp.where(INSTANCE == 7, -3, 100000)
    np.testing.assert_array_equal(instance_edges(renamed), instance_edges(INSTANCE))


def test_edges_as_the_official_code(shared):
    golden = load(shared, "spade_layers")
    np.testing.assert_array_equal(
        instance_edges(jnp.asarray(golden["edges/inst"][:, 0])), golden["edges/out"][:, 0]
    )


@pytest.mark.parametrize("name", ["spade_normal", "spade_vae", "dagan_normal"])
def test_semantics_as_the_official_code(shared, name):
    golden = load(shared, name)
    wanted = nhwc(golden["in/semantics"])
    np.testing.assert_array_equal(semantics(jnp.asarray(golden["in/label"][:, 0]), wanted.shape[-1]), wanted)
