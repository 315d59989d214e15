"""`windows` and `fold` against loops, as each other's adjoint, and under every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmodels.layers.windows import fold, windows

SIZES = st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(2, 5), st.integers(1, 3))


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_windows_are_slices():
    x = normal(0, (2, 8, 6, 3))
    out = windows(x)
    assert out.shape == (2, 3, 2, 48)
    for i in range(3):
        for j in range(2):
            window = x[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4].reshape(2, -1)
            np.testing.assert_array_equal(out[:, i, j], window)


def test_fold_adds_windows():
    y = normal(1, (2, 3, 2, 48))
    expected = np.zeros((2, 8, 6, 3), np.float32)
    for i in range(3):
        for j in range(2):
            expected[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += y[:, i, j].reshape(2, 4, 4, 3)
    np.testing.assert_allclose(fold(y), expected, atol=1e-6)


@settings(max_examples=6, deadline=None)
@given(SIZES, st.integers(0, 100))
def test_adjoint(size, seed):
    """<windows(x), y> = <x, fold(y)>."""
    batch, rows, columns, channels = size
    x = normal(seed, (batch, 2 * rows, 2 * columns, channels))
    y = normal(seed + 1, (batch, rows - 1, columns - 1, 16 * channels))
    left, right = np.vdot(windows(x), y), np.vdot(x, fold(y))
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("function", "shape"), [(windows, (2, 6, 6, 2)), (fold, (2, 2, 2, 32))])
def test_transformations(function, shape):
    """jit, vmap, and the gradients of first and second order of a non-linear function of the output."""
    x = normal(2, (3, *shape))
    expected = np.stack([function(a) for a in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(x), expected, atol=1e-6)

    def energy(a):
        return jnp.sum(jnp.sin(function(a)))

    plain = {windows: _windows_by_indexing, fold: _fold_by_indexing}[function]

    def reference(a):
        return jnp.sum(jnp.sin(plain(a)))

    direction = normal(3, shape)
    for ours, theirs in ((energy, reference), (_along(energy, direction), _along(reference, direction))):
        gradients = jax.jit(lambda a, f=ours, g=theirs: (jax.grad(f)(a), jax.grad(g)(a)))(x[0])
        np.testing.assert_allclose(*gradients, atol=1e-4)


def _along(function, direction):
    return lambda a: jnp.vdot(jax.grad(function)(a), direction)


def _windows_by_indexing(x):
    rows, columns = x.shape[1] // 2 - 1, x.shape[2] // 2 - 1
    taps = [
        jax.lax.slice(
            x, (0, i, j, 0), (x.shape[0], i + 2 * rows - 1, j + 2 * columns - 1, x.shape[3]), (1, 2, 2, 1)
        )
        for i in range(4)
        for j in range(4)
    ]
    return jnp.stack(taps, axis=3).reshape(*taps[0].shape[:3], -1)


def _fold_by_indexing(y):
    batch, rows, columns, size = y.shape
    taps = y.reshape(batch, rows, columns, 4, 4, size // 16)
    out = jnp.zeros((batch, 2 * rows + 2, 2 * columns + 2, size // 16))
    for i in range(4):
        for j in range(4):
            out = out.at[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2].add(taps[:, :, :, i, j])
    return out
