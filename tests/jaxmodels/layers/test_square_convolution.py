"""Stride-1 convolutions in both forms against a loop and each other, and the layer made of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.convolution import convolution_form
from jaxmodels.layers.square_convolution import Conv, convolve

FORMS = ("lax", "matrix", "platform")
SMALL, LARGE = (5, 8), (10, 11)
"""Sides of images on either side of where the whole convolution is a product."""
# (size, padding, channels, features, sides): the gradient cuts windows of whichever side has fewer channels.
CASES = [
    (1, 0, 2, 3, LARGE),
    (3, 1, 2, 3, LARGE),
    (3, 1, 3, 2, LARGE),
    (4, 2, 2, 3, LARGE),
    (3, 0, 2, 2, LARGE),
    (3, 1, 2, 3, SMALL),
    (7, 3, 3, 2, SMALL),
    (1, 1, 2, 2, SMALL),
]


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def in_form(form, function):
    """`function` traced in one form."""

    def call(*args):
        with convolution_form(form):
            return function(*args)

    return call


def arrays(size, channels, features, sides):
    return normal(0, (2, *sides, channels)), normal(1, (size, size, channels, features))


@pytest.mark.parametrize(("size", "padding", "channels", "features", "sides"), CASES)
def test_is_the_loop(size, padding, channels, features, sides):
    x, kernel = arrays(size, channels, features, sides)
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = (side - size + 1 for side in padded.shape[1:3])
    expected = np.zeros((2, rows, columns, features))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i : i + size, j : j + size]
            expected[:, i, j] = np.einsum("bhwc,hwcf->bf", window, kernel)
    out = jax.jit(convolve, static_argnums=2)(x, kernel, padding)
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "padding", "channels", "features", "sides"), [CASES[1], CASES[2], CASES[3], CASES[5]]
)
def test_derivatives_agree_with_lax(size, padding, channels, features, sides):
    """First and second order, in input and kernel, under jit and vmap, as penalties of a discriminator take them."""
    x, kernel = arrays(size, channels, features, sides)
    function = partial(convolve, padding=padding)

    def energy(x, kernel):
        return jnp.sum(jnp.sin(function(x, kernel)))

    def penalty(x, kernel):
        by_image, by_kernel = jax.grad(energy, (0, 1))(x, kernel)
        each = jax.vmap(jax.grad(lambda a: energy(a[None], kernel)))(x)
        return jnp.sum(by_image**2) + jnp.sum(by_kernel**3) + jnp.sum(jnp.cos(each))

    def derivatives(x, kernel):
        return jax.grad(energy, (0, 1))(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)

    ours, theirs = (jax.jit(in_form(name, derivatives))(x, kernel) for name in ("matrix", "lax"))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize("form", FORMS)
def test_vmap_is_the_loop_over_kernels(form):
    x, kernels = normal(0, (3, 2, 8, 9, 2)), normal(1, (3, 3, 3, 2, 2))
    function = jax.jit(in_form(form, partial(convolve, padding=1)))
    expected = np.stack([function(a, k) for a, k in zip(x, kernels, strict=True)])
    np.testing.assert_allclose(jax.vmap(function)(x, kernels), expected, atol=1e-5)


@pytest.mark.parametrize(("sides", "left"), [(LARGE, 1), (SMALL, 0)])
def test_gradient_on_cpu_is_a_product_of_windows(sides, left):
    """XLA is slow at the kernel's gradient: that convolution is gone; of small images the forward one is, too."""
    x, kernel = arrays(3, 2, 3, sides)

    def convolutions(form):
        gradient = jax.grad(lambda k: jnp.sum(jnp.sin(in_form(form, convolve)(x, k, 1))))
        return jax.jit(gradient).lower(kernel).compile().as_text().count(" convolution(")

    assert (convolutions("lax"), convolutions("matrix"), convolutions("platform")) == (2, left, left)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Conv(5), (2, 6, 9, 5)),
        (Conv(5, 1), (2, 6, 9, 5)),
        (Conv(5, 5, padding=0), (2, 2, 5, 5)),
        (Conv(5, 3, 2, 1), (2, 3, 5, 5)),
        (Conv(5, 4, 2, 2), (2, 4, 5, 5)),
        (Conv(5, 4, 1, 2), (2, 7, 10, 5)),
    ],
)
def test_shapes_of_the_layer(module, shape):
    """Half the size, rounded down, is the padding where none is given."""
    x = jax.ShapeDtypeStruct((2, 6, 9, 2), jnp.float32)
    out, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert out.shape == shape
    assert variables["params"]["bias"].shape == (5,)
    assert variables["params"]["kernel"].shape == (module.size, module.size, 2, 5)


def test_layer_adds_its_bias_and_divides_by_sigma():
    x = normal(0, (1, 4, 4, 2))
    plain = {"params": {"kernel": normal(1, (3, 3, 2, 3)), "bias": normal(2, (3,))}}
    out = Conv(3).apply(plain, x)
    without = Conv(3, use_bias=False).apply({"params": {"kernel": plain["params"]["kernel"]}}, x)
    np.testing.assert_allclose(out, np.asarray(without) + plain["params"]["bias"], atol=1e-6)
    left, _, right = np.linalg.svd(plain["params"]["kernel"].reshape(-1, 3).T, full_matrices=False)
    spectral = {"u": left[:, 0], "v": right[0]}
    norm = np.linalg.norm(plain["params"]["kernel"].reshape(-1, 3), 2)
    normalised = Conv(3, use_bias=False, spectral=True).apply(
        {"params": {"kernel": plain["params"]["kernel"]}, "spectral": spectral}, x
    )
    np.testing.assert_allclose(normalised, np.asarray(without) / norm, atol=1e-5)


def test_bfloat16_computes_in_it_and_keeps_float32_parameters():
    x = jax.ShapeDtypeStruct((1, 4, 4, 2), jnp.float32)
    module = Conv(3, spectral=True, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
