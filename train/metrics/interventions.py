"""Codes of images with chosen factors, for the scores that intervene on the data (FactorVAE, beta-VAE).

The network is a callable `represent(factors [N, F]) -> codes [N, L]`: it draws the images of these factors
and encodes them.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from train.metrics.arrays import require_finite

Represent = Callable[[Int[np.ndarray, "N F"]], Float[np.ndarray, "N L"]]


def random_factors(
    rng: np.random.Generator, factor_sizes: Sequence[int], shape: tuple[int, ...]
) -> Int[np.ndarray, "*shape F"]:
    """Returns independent factors, each uniform over its classes."""
    return rng.integers(np.asarray(factor_sizes), size=(*shape, len(factor_sizes)))


def reduced_codes(
    represent: Represent,
    factors: Int[np.ndarray, "G B F"],
    reduce: Callable[[Float[np.ndarray, "g B L"]], Float[np.ndarray, "g K"]],
    rows_per_call: int,
) -> Float[np.ndarray, "G K"]:
    """Returns `reduce` of the codes of each group of B images, holding the codes of a few groups at a time.

    Every call of `represent` has the same number of rows, at most `rows_per_call` (or one group), so that a
    jitted one compiles once; the last call is filled up with groups from the start.

    Raises:
      UserError: a code that is not finite.
    """
    groups, size, kinds = factors.shape
    per_call = min(groups, max(1, rows_per_call // size))
    found = []
    for start in range(0, groups, per_call):
        rows = factors[np.arange(start, start + per_call) % groups].reshape(-1, kinds)
        codes = np.asarray(represent(rows), np.float64)
        require_finite(codes)
        found.append(reduce(codes.reshape(per_call, size, -1)))
    return np.concatenate(found)[:groups]
