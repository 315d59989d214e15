"""The U-Net: sizes, the squares of pixels that are positions, what a pixel's class may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.unet import UNet, into_channels, out_of_channels

X = jax.random.normal(jax.random.key(0), (2, 8, 16, 3))
NETWORK = UNet(5, widths=(4, 8), patch=2)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(NETWORK.init)(jax.random.key(1), X)


@pytest.fixture(scope="module")
def apply():
    return jax.jit(NETWORK.apply)


def test_squares_of_pixels():
    """Position (1, 2) holds the four pixels from (2, 4) on, row by row."""
    found = into_channels(X, 2)
    assert found.shape == (2, 4, 8, 12)
    np.testing.assert_array_equal(found[1, 1, 2], np.asarray(X)[1, 2:4, 4:6].ravel())
    np.testing.assert_array_equal(out_of_channels(found, 2), X)
    np.testing.assert_array_equal(into_channels(X, 1), X)


def test_every_pixel_has_logits(variables, apply):
    assert apply(variables, X).shape == (2, 8, 16, 5)
    shapes = {name: layer["kernel"].shape for name, layer in variables["params"].items() if "kernel" in layer}
    assert shapes["down_0_convolution_0"] == (3, 3, 12, 4)
    assert shapes["down_1_convolution_0"] == (3, 3, 4, 8)
    assert shapes["enlarge_0"] == (8, 16)
    assert shapes["up_0_convolution_0"] == (3, 3, 8, 4)
    assert shapes["logits"] == (4, 20)
    assert len(shapes) == 2 * 3 + 2


def test_the_published_network():
    """The 23 layers of figure 1 of Ronneberger et al.; the well-known PyTorch port has as many weights in them."""
    network = UNet(2, (64, 128, 256, 512, 1024))
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)["params"]
    kernels = {name: layer["kernel"].shape for name, layer in shapes.items() if "kernel" in layer}
    assert len(kernels) == 23
    assert sum(np.prod(shape) for shape in kernels.values()) == 31_024_960
    out = jax.eval_shape(network.apply, {"params": shapes}, x)
    assert out.shape == (1, 32, 32, 2)


def test_an_image_does_not_depend_on_its_batch(variables, apply):
    other = X.at[0].set(3.0)
    np.testing.assert_allclose(apply(variables, X)[1], apply(variables, other)[1], rtol=1e-4, atol=1e-5)


def test_sizes_that_do_not_divide(variables):
    with pytest.raises(ValueError, match="8 x 18 images must be multiples of 4"):
        NETWORK.apply(variables, jnp.zeros((1, 8, 18, 3)))
