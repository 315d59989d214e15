"""The separated attribute predictability score (Kumar et al. 2018), as disentanglement_lib computes it."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.svm import LinearSVC

from train.metrics.arrays import checked, require_two, require_varied, top_gap


def sap(
    codes_train: Float[np.ndarray, "N L"],
    factors_train: Int[np.ndarray, "N F"],
    codes_test: Float[np.ndarray, "M L"],
    factors_test: Int[np.ndarray, "M F"],
) -> float:
    """Returns the lead in test accuracy of the best single code over the second, mean over factors; 0 to 1.

    Each code alone predicts each factor by a linear support vector machine (C = 0.01, balanced classes),
    which is regularised, so that the score depends on the codes' scale.

    Raises:
      UserError: fewer than two codes or factors, a factor constant in the training set, a code that is not
        finite.
    """
    return float(top_gap(accuracies(codes_train, factors_train, codes_test, factors_test)).mean())


def sap_continuous(codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"]) -> float:
    """Returns the lead in squared correlation of the best code over the second, mean over factors; 0 to 1.

    Reads the class indices as numbers.

    Raises:
      UserError: fewer than two codes or factors, a constant factor, a code that is not finite.
    """
    return float(top_gap(squared_correlations(codes, factors)).mean())


def accuracies(
    codes_train: Float[np.ndarray, "N L"],
    factors_train: Int[np.ndarray, "N F"],
    codes_test: Float[np.ndarray, "M L"],
    factors_test: Int[np.ndarray, "M F"],
) -> Float[np.ndarray, "L F"]:
    """Returns the test accuracy with which each code alone classifies each factor; raises as `sap`."""
    codes_train, factors_train = checked(codes_train, factors_train)
    codes_test, factors_test = checked(codes_test, factors_test)
    require_two(codes_train, factors_train, "SAP")
    require_varied(factors_train, "SAP")

    def accuracy(code: int, factor: int) -> float:
        machine = LinearSVC(C=0.01, class_weight="balanced")
        machine.fit(codes_train[:, [code]], factors_train[:, factor])
        return float(np.mean(machine.predict(codes_test[:, [code]]) == factors_test[:, factor]))

    latents, kinds = codes_train.shape[1], factors_train.shape[1]
    return np.array([[accuracy(code, factor) for factor in range(kinds)] for code in range(latents)])


def squared_correlations(
    codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"]
) -> Float[np.ndarray, "L F"]:
    """Returns cov^2 / (var var) of each code with each factor, 0 for a code of variance up to 1e-12."""
    codes, factors = checked(codes, factors)
    require_two(codes, factors, "SAP")
    require_varied(factors, "SAP")
    z, y = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    covariance = z.T @ y / (len(z) - 1)
    variance = z.var(axis=0, ddof=1)[:, None]
    alive = variance > 1e-12
    return np.where(alive, covariance**2 / (np.where(alive, variance, 1) * y.var(axis=0, ddof=1)), 0)
