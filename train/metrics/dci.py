"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

The numbers depend on the regressor that weighs the codes: on one and the same data D was 0.42 with gradient
boosting and 0.16 with a random forest. So its name stays with every result, and two regressors never share a
table.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import entropy

from train.metrics.arrays import checked, require_two, require_varied
from train.metrics.regressors import Fitted, Regressor, fitter

SMOOTHING = 1e-11


@dataclass(frozen=True)
class DCI:
    """The three scores, and what they are made of.

    Attributes:
      regressor: the name of what weighed the codes.
      importance: weight of each code in predicting each factor; columns of sum 1, or 0 if none is used.
      disentanglement: 0 to 1: how nearly each code serves one factor; mean weighted by the codes' importance.
      completeness: 0 to 1: how nearly each factor is served by one code; mean weighted by column sums.
      informativeness_train: mean over factors of the accuracy on training codes (classifiers) or of
        max(0, 1 - 6 MSE) with factors scaled to [0, 1] (random forest); higher is better.
      informativeness_test: the same on test codes: the published number.
      disentanglement_per_code: the terms of `disentanglement`.
      completeness_per_factor: the terms of `completeness`.
      informativeness_per_factor: the terms of `informativeness_test`.
    """

    regressor: Regressor
    importance: Float[np.ndarray, "L F"]
    disentanglement: float
    completeness: float
    informativeness_train: float
    informativeness_test: float
    disentanglement_per_code: Float[np.ndarray, " L"]
    completeness_per_factor: Float[np.ndarray, " F"]
    informativeness_per_factor: Float[np.ndarray, " F"]


def dci(
    codes_train: Float[np.ndarray, "N L"],
    factors_train: Int[np.ndarray, "N F"],
    codes_test: Float[np.ndarray, "M L"],
    factors_test: Int[np.ndarray, "M F"],
    *,
    regressor: Regressor = "gradient-boosting",
    seed: int = 0,
    threads: int | None = None,
) -> DCI:
    """Returns DCI by the regressor of this name in `train.metrics.regressors`; on every core by default.

    disentanglement_lib takes 10,000 training and 5,000 test codes (encoder means), GWAE's package one set of
    sampled codes cut 67 to 33 %.

    Raises:
      UserError: fewer than two codes or factors, a factor constant in the training set, a code that is not
        finite, an unknown regressor, or one whose package is not installed.
    """
    codes_train, factors_train = checked(codes_train, factors_train)
    codes_test, factors_test = checked(codes_test, factors_test)
    require_two(codes_train, factors_train, "DCI")
    require_varied(factors_train, "DCI")
    fit = fitter(regressor, codes_train, factors_train, seed)

    def fit_factor(j: int) -> Fitted:
        return fit(codes_train, factors_train[:, j], codes_test, factors_test[:, j])

    # The factors with most classes first, so that no core waits at the end. Threads, never forks: building
    # trees releases the interpreter lock, and JAX does not survive a fork.
    order = np.argsort([-len(np.unique(y)) for y in factors_train.T], kind="stable")
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        found = list(pool.map(fit_factor, order.tolist()))
    return _summary(regressor, [found[place] for place in np.argsort(order)])


def _summary(regressor: Regressor, fitted: list[Fitted]) -> DCI:
    """Returns the scores of the factors' fits, in the factors' order."""
    importance = np.stack([one.importance for one in fitted], axis=1)
    test = np.array([one.test for one in fitted])
    return DCI(
        regressor=regressor,
        importance=importance,
        disentanglement=disentanglement(importance),
        completeness=completeness(importance),
        informativeness_train=float(np.mean([one.train for one in fitted])),
        informativeness_test=float(test.mean()),
        disentanglement_per_code=disentanglement_per_code(importance),
        completeness_per_factor=completeness_per_factor(importance),
        informativeness_per_factor=test,
    )


def disentanglement_per_code(importance: Float[np.ndarray, "L F"]) -> Float[np.ndarray, " L"]:
    """Returns 1 - H(p_l) of each code's share p_l over factors, entropy to base F; 0 for a dead code.

    Smoothed by 1e-11 as in disentanglement_lib, which GWAE's package leaves out (difference below 1e-9).
    """
    return 1 - entropy(importance.T + SMOOTHING, base=importance.shape[1])


def completeness_per_factor(importance: Float[np.ndarray, "L F"]) -> Float[np.ndarray, " F"]:
    """Returns 1 - H(q_j) of each factor's share q_j over codes, entropy to base L."""
    return disentanglement_per_code(importance.T)


def disentanglement(importance: Float[np.ndarray, "L F"]) -> float:
    """Returns `disentanglement_per_code` weighted by each code's importance; 0 if no code has any."""
    weights = importance.sum(axis=1) if importance.any() else np.ones(len(importance))
    return float(np.average(disentanglement_per_code(importance), weights=weights))


def completeness(importance: Float[np.ndarray, "L F"]) -> float:
    """Returns `completeness_per_factor` weighted by column sums; 0 if nothing is important."""
    return disentanglement(importance.T)
