"""The goldens of SPADE and DAGAN as our arrays."""

from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

Arrays = Mapping[str, np.ndarray]


def load(shared: Path, name: str) -> Arrays:
    """All arrays of one file."""
    with np.load(shared / "parity" / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def under(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    """The entries behind a prefix, under the rest of their names."""
    return {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}


def nhwc(array: np.ndarray) -> jnp.ndarray:
    """From the golden's layout."""
    return jnp.asarray(array.transpose(0, 2, 3, 1))


def assert_close(actual: object, expected: np.ndarray, of_maximum: float = 1e-4) -> None:
    """The README's tolerance: the largest error relative to the largest value."""
    expected = np.asarray(expected)
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=of_maximum * np.abs(expected).max())
