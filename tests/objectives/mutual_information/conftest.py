import numpy as np
import pytest


@pytest.fixture(scope="session")
def goldens(shared):
    """Values of the official CLUB code, and of Poole et al.'s formulas restated, in float64."""
    with np.load(shared / "parity" / "mi_goldens.npz", allow_pickle=False) as arrays:
        return dict(arrays)
