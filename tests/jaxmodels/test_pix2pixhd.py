"""pix2pixHD's generator, which has no goldens: its layers against loops, its shapes and its table of channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.pix2pixhd import Pix2PixHDGenerator, TransposedConv, reflect
from jaxmodels.spade import Style
from tests.jaxmodels.spade_goldens import shapes


def test_reflection_does_not_repeat_the_border():
    out = np.asarray(reflect(jnp.arange(4.0).reshape(1, 1, 4, 1).repeat(4, 1), 2))
    assert out.shape == (1, 8, 8, 1)
    np.testing.assert_array_equal(out[0, 3, :, 0], [2, 1, 0, 1, 2, 3, 2, 1])


def test_transposed_convolution_is_the_loop():
    """Every pixel adds a 3x3 stamp about twice its place; a stamp is the kernel turned by half a turn."""
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((3, 3, 2, 5))
    x, kernel = x.astype(np.float32), kernel.astype(np.float32)
    expected = np.zeros((2, 6 + 2, 8 + 2, 5))
    for i in range(3):
        for j in range(4):
            stamp = np.einsum("bc,hwcf->bhwf", x[:, i, j], kernel[::-1, ::-1])
            expected[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += stamp
    module = TransposedConv(5, Style(spectral=False))
    out = module.apply({"params": {"kernel": kernel}}, x, False)
    np.testing.assert_allclose(out, expected[:, 1:-1, 1:-1], atol=1e-4)


@pytest.fixture(scope="module")
def published():
    return shapes(Pix2PixHDGenerator(64), (32, 64, 35))


def test_shapes_and_channels(published):
    image, variables = published
    assert image.shape == (2, 32, 64, 3)
    params = variables["params"]
    assert params["model1"]["kernel"].shape == (7, 7, 35, 64)
    assert [params[f"down_{i}"]["kernel"].shape[-1] for i in range(4)] == [128, 256, 512, 1024]
    assert [params[f"up_{i}"]["kernel"].shape[-1] for i in (3, 2, 1, 0)] == [512, 256, 128, 64]
    assert params["conv_img"]["kernel"].shape == (7, 7, 64, 3)
    assert sum(name.startswith("block_") for name in params) == 18


def test_number_of_parameters(published):
    """About the 183 million that the papers count: the kernels, and a bias in front of the image."""
    nf, convolutions = 64, 49 * 35 * 64 + 49 * 64 * 3 + 3
    convolutions += 2 * sum(9 * nf * 2**i * nf * 2 ** (i + 1) for i in range(4)) + 18 * 9 * 1024 * 1024
    params = published[1]["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == convolutions == 182_522_243


def test_all_but_the_last_have_spectral_norm(published):
    _, variables = published
    assert set(variables["params"]) - set(variables["spectral"]) == {"conv_img"}
    assert set(shapes(Pix2PixHDGenerator(2, style=Style(spectral=False)), (32, 32, 2))[1]) == {"params"}


def test_a_constant_layout_is_washed_out():
    """What SPADE was made against: instance norm leaves nothing of a layout of one class, whichever it is."""
    module = Pix2PixHDGenerator(2, downsamplings=1, blocks=1, style=Style(spectral=False))
    layouts = np.broadcast_to(np.eye(3, dtype=np.float32)[:, None, None], (3, 16, 16, 3))
    wanted = jax.eval_shape(lambda key: module.init(key, layouts, None, False), jax.random.key(0))
    rng = np.random.default_rng(0)
    # Sums of so few binary digits are exact, and so is the zero behind the first norm.
    draw = lambda a: (rng.integers(-4, 5, a.shape) / 64).astype(np.float32)  # noqa: E731
    variables = jax.tree.map(draw, wanted)
    images = jax.jit(lambda layouts: module.apply(variables, layouts, None, False))(layouts)
    bias = variables["params"]["conv_img"]["bias"]
    np.testing.assert_allclose(images, np.broadcast_to(np.tanh(bias), images.shape), atol=1e-6)
