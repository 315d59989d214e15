"""The interventional robustness score (Suter et al. 2019), as disentanglement_lib computes it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from train.metrics.arrays import checked
from train.metrics.mutual_information import BINS, discretise


@dataclass(frozen=True)
class IRS:
    """How little each code moves while one factor is held.

    Attributes:
      score: mean over codes of the best factor's robustness, weighted by the codes' ranges; 0 if all are
        constant.
      matrix: robustness of each code under each factor, at most 1; 0 for a constant code.
      ranges: each code's largest distance from its mean.
    """

    score: float
    matrix: Float[np.ndarray, "L F"]
    ranges: Float[np.ndarray, " L"]


def irs(
    codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], quantile: float = 0.99, bins: int = BINS
) -> IRS:
    """Returns the interventional robustness of the codes.

    1 - mean over the factor's values of the `quantile` of |z - group mean|, over max |z - mean|. Pure noise
    scores around 0.3, not 0. The paper takes the maximum (`quantile=1.0`); disentanglement_lib, and so the
    default, 0.99. Factors with more than `bins` values are binned.

    Raises:
      UserError: a code that is not finite.
    """
    codes, factors = checked(codes, factors)
    alive = np.ptp(codes, axis=0) > 0
    ranges = np.where(alive, np.abs(codes - codes.mean(axis=0)).max(axis=0), 0)
    moved = np.stack([_movement(codes, y, quantile) for y in discretise(factors, bins).T], axis=1)
    matrix = np.where(alive[:, None], 1 - moved / np.where(alive, ranges, 1)[:, None], 0)
    score = np.average(matrix.max(axis=1), weights=ranges) if alive.any() else 0.0
    return IRS(float(score), matrix, ranges)


def _movement(
    codes: Float[np.ndarray, "N L"], labels: Int[np.ndarray, " N"], quantile: float
) -> Float[np.ndarray, " L"]:
    """Returns the quantile of each code's distance from its group's mean, mean over the groups."""
    groups = [codes[labels == label] for label in np.unique(labels)]
    return np.mean([np.quantile(np.abs(z - z.mean(axis=0)), quantile, axis=0) for z in groups], axis=0)
