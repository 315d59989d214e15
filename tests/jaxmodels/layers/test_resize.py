"""Resizing against index formulas, loops and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmodels.layers.resize import average_pool, bilinear, nearest, upsample
from tests.jaxmodels.spade_goldens import assert_close, load, nhwc


@pytest.fixture(scope="module")
def layers(shared):
    return load(shared, "spade_layers")


def image(height, width, channels=2):
    return np.random.default_rng(0).standard_normal((2, height, width, channels)).astype(np.float32)


@settings(max_examples=10)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 24), st.integers(1, 24))
def test_nearest_is_the_index_formula(old_height, old_width, height, width):
    """floor(i old / new) on both axes, whether the ratio is whole or not; also of integers."""
    labels = np.arange(2 * old_height * old_width).reshape(2, old_height, old_width, 1)
    rows = [i * old_height // height for i in range(height)]
    columns = [j * old_width // width for j in range(width)]
    np.testing.assert_array_equal(nearest(jnp.asarray(labels), height, width), labels[:, rows][:, :, columns])


@pytest.mark.parametrize("size", ["3x4", "10x16", "7x5", "1x2", "up2"])
def test_nearest_as_torch(layers, size):
    x = nhwc(layers["resize/in"])
    out = upsample(x) if size == "up2" else nearest(x, *map(int, size.split("x")))
    assert_close(out, layers[f"resize/{size}"], 0)


def test_upsample_repeats():
    x = image(3, 2)
    np.testing.assert_array_equal(upsample(jnp.asarray(x)), x.repeat(2, 1).repeat(2, 2))


def test_bilinear_as_torch(layers):
    assert_close(bilinear(nhwc(layers["resize_bilinear/in"]), 64, 64), layers["resize_bilinear/64x64"])


def test_bilinear_does_not_smooth_before_it_shrinks():
    """A quarter of the size reads the two pixels about every centre 4 i + 1.5, not all four."""
    x = image(8, 8)
    middle = (x[:, 1::4] + x[:, 2::4]) / 2
    expected = (middle[:, :, 1::4] + middle[:, :, 2::4]) / 2
    np.testing.assert_allclose(bilinear(jnp.asarray(x), 2, 2), expected, atol=1e-6)


def test_bilinear_of_the_same_size_is_the_image():
    x = jnp.asarray(image(4, 4))
    assert bilinear(x, 4, 4) is x


def test_average_pool_as_torch(layers):
    assert_close(jax.jit(average_pool)(nhwc(layers["resize_bilinear/in"])), layers["avgpool3s2/out"])


@pytest.mark.parametrize(("height", "width"), [(1, 2), (5, 6)])
def test_average_pool_does_not_count_the_padding(height, width):
    x = image(height, width)
    rows, columns = (height - 1) // 2 + 1, (width - 1) // 2 + 1
    expected = np.zeros((2, rows, columns, 2))
    for i in range(rows):
        for j in range(columns):
            expected[:, i, j] = x[:, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2].mean(
                (1, 2)
            )
    np.testing.assert_allclose(jax.jit(average_pool)(x), expected, atol=1e-6)
