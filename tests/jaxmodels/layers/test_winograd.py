"""Minimal filtering against XLA's own convolution, and where it is taken."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.convolution import convolution_form
from jaxmodels.layers.square_convolution import Conv, convolve
from jaxmodels.layers.winograd import minimal_convolution
from jaxmodels.spade import SPADE, Style
from train.devices import data_mesh, split

SHAPES = [((1, 2, 2, 1), 1), ((2, 4, 6, 3), 2), ((3, 10, 8, 2), 5)]


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def arrays(shape, features):
    return normal(0, shape), normal(1, (3, 3, shape[-1], features))


def filtered(x, kernel):
    """What training takes: without a gradient it is the direct form."""
    return jax.vjp(minimal_convolution, x, kernel)[0]


def direct(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def has_no_convolution(function, *args):
    """Whether none is in the compiled program, as where all of them are filtered."""
    text = jax.jit(function).lower(*args).compile().as_text()
    return " convolution(" not in text and "conv_general_dilated" not in text


def training(function):
    """The gradients of the sum of squares of what `function` makes of its arguments."""
    return jax.grad(lambda *args: jnp.sum(jnp.square(function(*args).astype(jnp.float32))), (0, 1))


@pytest.mark.parametrize("function", [minimal_convolution, filtered])
@pytest.mark.parametrize(("shape", "features"), SHAPES)
def test_is_the_loop(shape, features, function):
    x, kernel = arrays(shape, features)
    _, height, width, _ = shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((*shape[:3], features))
    for i in range(height):
        for j in range(width):
            expected[:, i, j] = np.einsum("bhwc,hwcf->bf", padded[:, i : i + 3, j : j + 3], kernel)
    np.testing.assert_allclose(jax.jit(function)(x, kernel), expected, atol=1e-5)


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


def test_rounding_is_of_the_order_of_the_direct_form():
    """Sums over 128 channels at each place are shorter than those over 9 times as many."""
    x, kernel = (a.astype(np.float64) for a in arrays((1, 16, 16, 128), 16))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    truth = sum(padded[:, i : i + 16, j : j + 16] @ kernel[i, j] for i in range(3) for j in range(3))
    of_filtered, of_direct = (
        np.abs(form(x.astype(np.float32), kernel.astype(np.float32)) - truth).max()
        for form in (filtered, direct)
    )
    assert of_filtered < 2 * of_direct < 1e-5 * np.abs(truth).max()


def test_vmap_is_the_loop_over_kernels():
    x, kernels = normal(0, (3, 2, 4, 4, 2)), normal(1, (3, 3, 3, 2, 5))
    one_by_one = [training(direct)(a, k) for a, k in zip(x, kernels, strict=True)]
    together = jax.jit(jax.vmap(training(minimal_convolution)))(x, kernels)
    for ours, *theirs in zip(together, *one_by_one, strict=True):
        np.testing.assert_allclose(ours, np.stack(theirs), atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("taken", "changed"),
    [
        (True, {}),
        (True, {"shape": (1, 16, 32, 32)}),
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
    function = partial(convolve, padding=case["padding"], minimal=case["minimal"])
    with convolution_form(case["form"]):
        assert not has_no_convolution(function, x, kernel)
        assert has_no_convolution(training(function), x, kernel) == taken


@pytest.mark.parametrize("minimal", [False, True])
def test_the_layer_asks_for_it(minimal):
    x, module = jax.ShapeDtypeStruct((2, 16, 32, 32), jnp.float32), Conv(32, minimal=minimal)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    assert has_no_convolution(training(module.apply), variables, x) == minimal


def test_a_layer_of_spade_on_a_batch_over_eight_devices():
    """Gradients of what is filtered, beside XLA's own convolutions on one device."""
    x, layout = normal(0, (8, 16, 16, 32)), normal(1, (8, 32, 32, 4))
    module = SPADE(Style(norm="instance", hidden=32))
    variables = module.init(jax.random.key(0), x, layout, True)

    def gradients(form):
        def loss(variables, x, layout):
            with convolution_form(form):
                return jnp.sum(jnp.sin(module.apply(variables, x, layout, True)))

        return jax.jit(jax.grad(loss, (0, 1)))

    over_devices = jax.device_put((x, layout), split(data_mesh()))
    ours, theirs = gradients("platform")(variables, *over_devices), gradients("lax")(variables, x, layout)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
