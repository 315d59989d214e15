"""Minimal filtering against XLA's own convolution, and where it is taken."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.convolution import convolution_form
from jaxmodels.layers.square_convolution import MANY_PIXELS, Conv, convolve
from jaxmodels.layers.winograd import minimal_convolution

SHAPES = [((1, 2, 2, 1), 1), ((2, 4, 6, 3), 2), ((3, 10, 8, 2), 5)]


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def arrays(shape, features):
    return normal(0, shape), normal(1, (3, 3, shape[-1], features))


def direct(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


@pytest.mark.parametrize(("shape", "features"), SHAPES)
def test_is_the_loop(shape, features):
    x, kernel = arrays(shape, features)
    _, height, width, _ = shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((*shape[:3], features))
    for i in range(height):
        for j in range(width):
            expected[:, i, j] = np.einsum("bhwc,hwcf->bf", padded[:, i : i + 3, j : j + 3], kernel)
    np.testing.assert_allclose(jax.jit(minimal_convolution)(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "features"), SHAPES[1:])
def test_derivatives_are_those_of_the_direct_form(shape, features):
    """First and second order, in images and kernel."""
    x, kernel = arrays(shape, features)

    def derivatives(function, x, kernel):
        energy = lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel)))  # noqa: E731
        by_both = jax.grad(energy, (0, 1))
        penalty = lambda x, kernel: sum(jnp.sum(g**3) for g in by_both(x, kernel))  # noqa: E731
        return by_both(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)

    ours, theirs = (jax.jit(partial(derivatives, f))(x, kernel) for f in (minimal_convolution, direct))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_rounds_no_worse_than_the_direct_form():
    """Sums over 128 channels at each place are shorter than those over 9 times as many."""
    x, kernel = (a.astype(np.float64) for a in arrays((1, 16, 16, 128), 16))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    truth = sum(padded[:, i : i + 16, j : j + 16] @ kernel[i, j] for i in range(3) for j in range(3))
    error = np.abs(minimal_convolution(x.astype(np.float32), kernel.astype(np.float32)) - truth).max()
    assert error < 1e-6 * np.abs(truth).max()


def test_vmap_is_the_loop_over_kernels():
    x, kernels = normal(0, (3, 2, 4, 4, 2)), normal(1, (3, 3, 3, 2, 5))
    expected = np.stack([direct(a, k) for a, k in zip(x, kernels, strict=True)])
    np.testing.assert_allclose(jax.jit(jax.vmap(minimal_convolution))(x, kernels), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("taken", "changed"),
    [
        (True, {}),
        (True, {"shape": (MANY_PIXELS // 512, 16, 32, 32)}),
        (False, {"minimal": False}),
        (False, {"form": "lax"}),
        (False, {"size": 5, "padding": 2}),
        (False, {"padding": 0}),
        (False, {"shape": (2, 15, 32, 32)}),
        (False, {"shape": (2, 16, 31, 32)}),
        (False, {"shape": (1, 16, 16, 32)}),
        (False, {"shape": (2, 16, 32, 8)}),
        (False, {"dtype": jnp.bfloat16}),
    ],
)
def test_taken_where_it_fits_and_gains(taken, changed):
    case = {
        "minimal": True,
        "form": "platform",
        "size": 3,
        "padding": 1,
        "shape": (2, 16, 32, 32),
        "dtype": jnp.float32,
    }
    case |= changed
    x = jax.ShapeDtypeStruct(case["shape"], case["dtype"])
    kernel = jax.ShapeDtypeStruct((case["size"], case["size"], case["shape"][-1], 32), case["dtype"])
    with convolution_form(case["form"]):
        function = partial(convolve, padding=case["padding"], minimal=case["minimal"])
        text = jax.jit(function).lower(x, kernel).compile().as_text()
    assert (" convolution(" in text or "conv_general_dilated" in text) != taken


def test_the_layer_asks_for_it():
    x = jax.ShapeDtypeStruct((2, 16, 32, 32), jnp.float32)
    programs = []
    for minimal in (False, True):
        module = Conv(32, minimal=minimal)
        variables = jax.eval_shape(module.init, jax.random.key(0), x)
        programs.append(jax.jit(module.apply).lower(variables, x).compile().as_text())
    assert ["conv_general_dilated" in text for text in programs] == [True, False]
