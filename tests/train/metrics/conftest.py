from dataclasses import dataclass

import numpy as np
import pytest

KINDS = ("aligned", "mixed", "noise")
SIZES = (3, 4, 2, 5)


@dataclass(frozen=True)
class Golden:
    """One data set of the reference file, in our layout (rows are images)."""

    arrays: dict[str, np.ndarray]
    train: tuple[np.ndarray, np.ndarray]
    both: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

    def __getitem__(self, name):
        return self.arrays[name]


@pytest.fixture(params=KINDS)
def golden(request, shared):
    return read_golden(shared, request.param)


@pytest.fixture
def mixed(shared):
    return read_golden(shared, "mixed")


def read_golden(shared, kind):
    with np.load(shared / "parity" / "metrics_disentanglement.npz") as file:
        arrays = {name.removeprefix(f"{kind}/"): file[name] for name in file.files if name.startswith(kind)}
    both = tuple(arrays[name].T for name in ("mus_train", "ys_train", "mus_test", "ys_test"))
    return Golden(arrays, both[:2], both)


def factors_of(count, sizes=SIZES, seed=0):
    return np.random.default_rng(seed).integers(sizes, size=(count, len(sizes)))


def aligned(factors):
    """Code l is factor l."""
    return factors.astype(float)


def noise(factors, latents=5, seed=1):
    return np.random.default_rng(seed).normal(size=(len(factors), latents))
