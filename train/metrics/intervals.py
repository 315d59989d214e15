"""The interval that stands beside every number measured over seeds."""

import numpy as np
from jaxtyping import Float
from scipy import stats


def mean_interval(values: Float[np.ndarray, "S ..."]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean over seeds and the half width of its 95 % Student-t interval, in the values' unit.

    Args:
      values: one row per seed.

    Returns:
      Both of shape [...]. One seed has no interval: its half width is NaN.

    Raises:
      ValueError: there is no seed.
    """
    values = np.asarray(values, np.float64)
    seeds = len(values)
    if not seeds:
        raise ValueError("an interval needs at least one seed")
    mean = values.mean(axis=0)
    if seeds == 1:
        return mean, np.full_like(mean, np.nan)
    with np.errstate(invalid="ignore"):  # an infinite value has no spread: NaN says so
        spread = values.std(axis=0, ddof=1)
    return mean, stats.t.ppf(0.975, seeds - 1) * spread / np.sqrt(seeds)
