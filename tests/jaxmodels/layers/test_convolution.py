"""Both forms of both convolutions against a loop, each other, and each other's derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.convolution import (
    DownConv,
    UpConv,
    convolution_form,
    down_convolution,
    strided_convolution,
    up_convolution,
)

FORMS = ("lax", "matrix", "platform")


def normal(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


X, Y, KERNEL = normal(0, (2, 6, 8, 3)), normal(1, (2, 3, 4, 5)), normal(2, (4, 4, 3, 5))


def in_form(form, function):
    """`function` traced in one form."""

    def call(*args):
        with convolution_form(form):
            return function(*args)

    return call


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", ["zeros", "edge"])
def test_down_convolution_is_the_loop(form, padding):
    out = in_form(form, down_convolution)(X, KERNEL, padding)
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge" if padding == "edge" else "constant")
    expected = np.zeros((2, 3, 4, 5))
    for i in range(3):
        for j in range(4):
            expected[:, i, j] = np.einsum(
                "bhwc,hwcf->bf", padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4], KERNEL
            )
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_up_convolution_is_the_loop(form):
    """Every input pixel adds its 4x4 stamp; the border of one pixel is cut off."""
    out = in_form(form, up_convolution)(Y, KERNEL)
    stamps = np.zeros((2, 8, 10, 3))
    for i in range(3):
        for j in range(4):
            stamps[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("bf,hwcf->bhwc", Y[:, i, j], KERNEL)
    np.testing.assert_allclose(out, stamps[:, 1:-1, 1:-1], atol=1e-4)


def test_up_is_the_adjoint_of_down():
    left = np.vdot(down_convolution(X, KERNEL), Y)
    np.testing.assert_allclose(left, np.vdot(X, up_convolution(Y, KERNEL)), rtol=1e-4)


STRIDED = [
    (size, padding, height, width)
    for size, padding in ((3, 1), (4, 2), (4, 1), (3, 0))
    for height, width in ((6, 7), (5, 4))
]


@pytest.mark.parametrize(("size", "padding", "height", "width"), STRIDED)
def test_strided_convolution_is_that_of_lax(size, padding, height, width):
    """Kernels of 3 and 4 at odd and even sizes, with their derivatives, in both forms."""
    x, kernel = normal(3, (2, height, width, 2)), normal(4, (size, size, 2, 3))

    def plain(x, kernel):
        sides = [(padding, padding)] * 2
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), sides, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def derivatives(function):
        energy = lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel)))  # noqa: E731
        return jax.jit(lambda x, kernel: (function(x, kernel), jax.grad(energy, (0, 1))(x, kernel)))

    theirs = jax.tree.leaves(derivatives(plain)(x, kernel))
    for form in ("matrix", "lax"):
        ours = in_form(form, derivatives(lambda x, kernel: strided_convolution(x, kernel, padding)))(
            x, kernel
        )
        for a, b in zip(jax.tree.leaves(ours), theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


CASES = {
    "down": (down_convolution, X),
    "edge": (lambda x, kernel: down_convolution(x, kernel, "edge"), X),
    "up": (up_convolution, Y),
    "strided": (lambda x, kernel: strided_convolution(x, kernel[:3, :3], 1), X),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["matrix", "platform"])
def test_derivatives_agree_with_lax(case, form):
    """First and second order, in input and kernel, under jit and vmap, as a gradient penalty takes them."""
    function, x = CASES[case]

    def energy(x, kernel):
        return jnp.sum(jnp.sin(function(x, kernel)))

    def penalty(kernel):
        gradients = jax.vmap(jax.grad(lambda a: energy(a[None], kernel)))(x)
        return jnp.sum(gradients**2)

    for derivative, args in ((jax.grad(energy, (0, 1)), (x, KERNEL)), (jax.grad(penalty), (KERNEL,))):
        ours, theirs = (jax.jit(in_form(name, derivative))(*args) for name in (form, "lax"))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_platform_form_takes_matrix_products_on_cpu():
    """On this platform the compiled program has no convolution; the plain form has one."""

    def compiled(form):
        return jax.jit(in_form(form, down_convolution)).lower(X, KERNEL).compile().as_text()

    assert "convolution(" not in compiled("platform")
    assert "convolution(" in compiled("lax")


def test_form_is_restored_after_an_error():
    with pytest.raises(RuntimeError), convolution_form("lax"):
        raise RuntimeError
    assert "conv_general_dilated" in str(jax.make_jaxpr(in_form("lax", down_convolution))(X, KERNEL))
    assert "cond" in str(jax.make_jaxpr(lambda x, k: down_convolution(x, k))(X, KERNEL))


@pytest.mark.parametrize(
    ("module", "channels", "fan_in"),
    [(DownConv(64), 8, 16 * 8), (UpConv(8), 64, 16 * 8)],
)
def test_initial_bounds(module, channels, fan_in):
    """Kernel and bias are uniform within 1/sqrt(fan_in); torch counts a transposed layer's outputs."""
    params = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, channels)))["params"]
    bound = fan_in**-0.5
    kernel = np.asarray(params["kernel"])
    assert np.abs(params["bias"]).max() <= bound
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.03)
    assert abs(kernel.mean()) < 0.03 * bound


@pytest.mark.parametrize("module", [DownConv(4, dtype=jnp.bfloat16), UpConv(4, dtype=jnp.bfloat16)])
def test_bfloat16_computes_in_it_and_keeps_float32_parameters(module):
    out, variables = module.init_with_output(jax.random.key(0), jnp.ones((1, 4, 4, 2)))
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
