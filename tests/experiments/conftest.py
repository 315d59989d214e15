"""Data that several tests of experiments run on."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_images(tmp_path_factory):
    """The flags of a small file of images with factors: rendering the embedded ones takes longer than all else."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "own.npz"
    images = rng.integers(0, 256, (1000, 64, 64, 3), dtype=np.uint8)
    np.savez(path, images=images, factors=rng.integers(0, 3, (1000, 2)))
    small = ("--evaluate.train-codes", "50", "--evaluate.test-codes", "50")
    return ("--data.source", "npz", "--data.path", str(path), *small)
