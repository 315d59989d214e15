"""The mutual information gap (Chen et al. 2018), as disentanglement_lib estimates it."""

import numpy as np
from jaxtyping import Float, Int

from train.metrics.arrays import checked, require_two, require_varied, top_gap
from train.metrics.mutual_information import BINS, entropy, mutual_information_matrix


def mig(codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], bins: int = BINS) -> float:
    """Returns the lead of the most informative code over the second, as part of H(factor), mean over factors.

    Between 0 and 1. The codes are cut into `bins` equal bins (Locatello et al. 2019), where the original
    integrates over samples of q(z|x): the two give different values.

    Raises:
      UserError: fewer than two codes or factors, a constant factor, a code that is not finite.
    """
    codes, factors = checked(codes, factors)
    require_two(codes, factors, "MIG")
    require_varied(factors, "MIG")
    gaps = top_gap(mutual_information_matrix(codes, factors, bins))
    return float(np.mean(gaps / [entropy(y) for y in factors.T]))
