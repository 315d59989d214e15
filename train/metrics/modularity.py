"""Modularity and explicitness (Ridgeway & Mozer 2018), as disentanglement_lib computes them."""

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from train.metrics.arrays import checked, require_two, require_varied
from train.metrics.mutual_information import BINS, mutual_information_matrix


def modularity(codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], bins: int = BINS) -> float:
    """Returns how nearly each code tells of one factor only, between 0 and 1, mean over codes.

    1 - (sum_j I_j^2 - max I^2) / (max I^2 (F - 1)), and 0 for a code without information. All codes weigh the
    same, so that the noise of dead codes counts: pure noise scores around 0.7, not 0.

    Raises:
      UserError: fewer than two codes or factors, a code that is not finite.
    """
    codes, factors = checked(codes, factors)
    require_two(codes, factors, "modularity")
    squared = mutual_information_matrix(codes, factors, bins) ** 2
    best = squared.max(axis=1)
    informative = best > 0
    rest = (squared.sum(axis=1) - best)[informative] / (best[informative] * (factors.shape[1] - 1))
    return float((1 - rest).sum() / len(best))


def explicitness(
    codes_train: Float[np.ndarray, "N L"],
    factors_train: Int[np.ndarray, "N F"],
    codes_test: Float[np.ndarray, "M L"],
    factors_test: Int[np.ndarray, "M F"],
) -> Float[np.ndarray, "F 2"]:
    """Returns, per factor, the area under the ROC of a linear classifier on training and on test codes.

    One-vs-rest, mean over the classes that occur; 0.5 for noise, 1 at best; the published score is the mean
    over factors. The classifier is scikit-learn's logistic regression on codes standardised by the training
    set, run to convergence (its default of 100 steps gives the same where it suffices).

    Raises:
      UserError: a factor constant in the training set, a code that is not finite.
    """
    codes_train, factors_train = checked(codes_train, factors_train)
    codes_test, factors_test = checked(codes_test, factors_test)
    require_varied(factors_train, "explicitness")
    mean, std = codes_train.mean(axis=0), codes_train.std(axis=0)
    train, test = ((codes - mean) / np.where(std > 0, std, 1) for codes in (codes_train, codes_test))
    areas = []
    for y_train, y_test in zip(factors_train.T, factors_test.T, strict=True):
        model = LogisticRegression(max_iter=1000).fit(train, y_train)
        areas.append([_area(model, train, y_train), _area(model, test, y_test)])
    return np.array(areas)


def _area(model: LogisticRegression, codes: Float[np.ndarray, "N L"], labels: Int[np.ndarray, " N"]) -> float:
    """Returns the one-vs-rest area under the ROC, mean over the classes that occur; NaN if only one does."""
    chances = model.predict_proba(codes)
    areas = [
        roc_auc_score(labels == label, chance)
        for label, chance in zip(model.classes_, chances.T, strict=True)
        if 0 < (labels == label).sum() < len(labels)
    ]
    return float(np.mean(areas)) if areas else float("nan")
