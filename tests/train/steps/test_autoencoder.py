"""What the family shares: schedules and norms."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from train.steps.autoencoder import AutoencoderConfig, pixels, scheduled

CONFIG = AutoencoderConfig(warmup_steps=10, decay_steps=100)


def test_constant_without_warm_up_and_decay():
    assert scheduled(0.5, AutoencoderConfig()) == 0.5


@pytest.mark.parametrize("config", [CONFIG, dataclasses.replace(CONFIG, decay_steps=0)])
def test_rises_linearly(config):
    rate = scheduled(0.5, config)
    np.testing.assert_allclose(rate(5), 0.05 + 0.045 * 5, rtol=1e-5)
    np.testing.assert_allclose(rate(10), 0.5, rtol=1e-5)


def test_falls_to_a_hundredth():
    np.testing.assert_allclose(scheduled(0.5, CONFIG)(100), 0.005, rtol=1e-5)
    np.testing.assert_allclose(
        scheduled(0.5, dataclasses.replace(CONFIG, decay_steps=0))(100), 0.5, rtol=1e-6
    )


def test_pixels():
    np.testing.assert_allclose(pixels(jnp.asarray([[[[0, 255]]]], jnp.uint8)).reshape(-1), [0, 1])
