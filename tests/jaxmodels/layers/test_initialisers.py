"""The laws of initial kernels: their spread, their bounds, and where they are orthonormal."""

import math

import jax
import numpy as np
import pytest

from jaxmodels.layers.initialisers import image_initialiser, image_kernel, xavier_normal

SHAPE = (3, 3, 32, 16)
FAN_IN, FAN_OUT = 9 * 32, 9 * 16
NUMBERS = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
GAIN = 0.02
DEVIATIONS = {
    "xavier": GAIN * math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "normal": GAIN,
    "xavier_uniform": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "kaiming": math.sqrt(2 / FAN_IN),
    "orthogonal": GAIN / math.sqrt(FAN_IN),
    "none": 1 / math.sqrt(3 * FAN_IN),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_spread(name):
    kernel = np.asarray(image_kernel(NUMBERS, name, GAIN))
    assert kernel.shape == SHAPE
    np.testing.assert_allclose(kernel.std(), DEVIATIONS[name], rtol=0.05)
    assert abs(kernel.mean()) < 0.05 * DEVIATIONS[name]


@pytest.mark.parametrize("name", ["xavier_uniform", "none"])
def test_uniform_laws_fill_their_bounds(name):
    """sqrt(3) deviations, and a quarter of the numbers in every quarter."""
    kernel = np.asarray(image_kernel(NUMBERS, name, GAIN)) / (math.sqrt(3) * DEVIATIONS[name])
    assert 0.99 < np.abs(kernel).max() <= 1.000001
    counts, _ = np.histogram(kernel, 4, (-1, 1))
    np.testing.assert_allclose(counts / kernel.size, 0.25, atol=0.03)


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (1, 1, 2, 6), (5, 3)])
def test_orthogonal(shape):
    """Orthonormal columns where there are more rows, else rows; times the gain."""
    numbers = NUMBERS.reshape(-1)[: math.prod(shape)].reshape(shape)
    matrix = np.asarray(image_kernel(numbers, "orthogonal", 3.0)).reshape(-1, shape[-1])
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, 9 * np.eye(len(product)), atol=1e-4)


def test_initialiser_is_the_kernel_of_normal_numbers():
    kernel = image_initialiser("xavier", GAIN)(jax.random.key(0), (3, 4, 5))
    expected = image_kernel(jax.random.normal(jax.random.key(0), (3, 4, 5)), "xavier", GAIN)
    np.testing.assert_array_equal(kernel, expected)


def test_xavier_normal():
    kernel = np.asarray(xavier_normal(GAIN)(jax.random.key(0), SHAPE))
    np.testing.assert_allclose(kernel.std(), DEVIATIONS["xavier"], rtol=0.05)
