"""The regressors of DCI, each fitted to one factor: how much it uses each code, and how well it does.

- gradient-boosting: scikit-learn's classifier at its defaults (100 rounds, depth 3, rate 0.1), as in
  disentanglement_lib.
- random-forest: 10 regression trees, as in GWAE's package; one depth of 2, 4, 8, 12 for all factors, that of
  the least squared error in 5-fold cross-validation on the training codes.
- xgboost-exact: XGBoost (Chen & Guestrin 2016) with gradient boosting's rounds, depth and rate, every split
  tried.
- xgboost-approx: splits among candidates from a Hessian-weighted quantile sketch of all rows, anew for each
  tree: the paper's global proposal. Its local one, anew for each node, is in no present XGBoost.
- xgboost-hist: candidates from one sketch before training, blind to the Hessian: global for all trees.

XGBoost's importance is the total gain, the analogue of scikit-learn's; its own default, the gain per split,
gave about half the D.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.model_selection import cross_val_score

from train.errors import UserError

Regressor = Literal["gradient-boosting", "random-forest", "xgboost-approx", "xgboost-hist", "xgboost-exact"]
REGRESSORS: tuple[str, ...] = get_args(Regressor)
DEPTHS = (2, 4, 8, 12)


@dataclass(frozen=True)
class Fitted:
    """One factor's fit: the importance of each code (sum 1, or all 0), and the informativeness."""

    importance: Float[np.ndarray, " L"]
    train: float
    test: float


Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Fitted]


def fitter(
    name: Regressor, codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], seed: int
) -> Fit:
    """Returns the regressor of this name: fit(codes_train, labels_train, codes_test, labels_test) -> Fitted.

    Args:
      name: one of `REGRESSORS`.
      codes: the training codes, which the random forest's depth is chosen on.
      factors: their factors.
      seed: settles ties between splits, and the forest's bootstrap.

    Raises:
      UserError: there is no such regressor, or its package is not installed.
    """
    if name not in REGRESSORS:
        raise UserError("regressor", name, "is not a known regressor", f"choose from {', '.join(REGRESSORS)}")
    if name == "random-forest":
        forest = partial(RandomForestRegressor, n_estimators=10, random_state=seed)
        return partial(_fit_forest, partial(forest, max_depth=_best_depth(forest, codes, factors)))
    if name == "gradient-boosting":
        return partial(_fit_classifier, partial(GradientBoostingClassifier, random_state=seed))
    return partial(_fit_classifier, _xgboost(name.removeprefix("xgboost-"), seed))


def _xgboost(tree_method: str, seed: int) -> Callable[[], Any]:
    """Returns XGBoost's classifier with gradient boosting's settings; one thread, to sum in one order."""
    try:
        from xgboost import XGBClassifier
    except ImportError as missing:
        raise UserError(
            "regressor", f"xgboost-{tree_method}", "xgboost is not installed", "run pip install '.[xgboost]'"
        ) from missing
    settings = {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1, "n_jobs": 1, "random_state": seed}
    return partial(XGBClassifier, tree_method=tree_method, importance_type="total_gain", **settings)


def _fit_classifier(
    make: Callable[[], Any],
    codes_train: Float[np.ndarray, "N L"],
    labels_train: Int[np.ndarray, " N"],
    codes_test: Float[np.ndarray, "M L"],
    labels_test: Int[np.ndarray, " M"],
) -> Fitted:
    """Returns a classifier's importances and accuracies; a class that training never saw is an error."""
    classes, numbers = np.unique(labels_train, return_inverse=True)
    model = make().fit(codes_train, numbers)
    train, test = (classes[model.predict(codes)] for codes in (codes_train, codes_test))
    importance = np.abs(model.feature_importances_.astype(np.float64))
    return Fitted(importance, float((train == labels_train).mean()), float((test == labels_test).mean()))


def _fit_forest(
    make: Callable[[], RandomForestRegressor],
    codes_train: Float[np.ndarray, "N L"],
    labels_train: Int[np.ndarray, " N"],
    codes_test: Float[np.ndarray, "M L"],
    labels_test: Int[np.ndarray, " M"],
) -> Fitted:
    """Returns a forest's importances and max(0, 1 - 6 MSE) on labels scaled by the training set to [0, 1].

    1/6 is the mean squared difference of two independent uniform numbers.
    """
    low, span = labels_train.min(), np.ptp(labels_train)
    model = make().fit(codes_train, (labels_train - low) / span)

    def informativeness(codes: Float[np.ndarray, "N L"], labels: Int[np.ndarray, " N"]) -> float:
        return max(0.0, 1 - 6 * float(np.mean((model.predict(codes) - (labels - low) / span) ** 2)))

    return Fitted(
        model.feature_importances_,
        informativeness(codes_train, labels_train),
        informativeness(codes_test, labels_test),
    )


def _best_depth(
    forest: Callable[..., RandomForestRegressor],
    codes: Float[np.ndarray, "N L"],
    factors: Int[np.ndarray, "N F"],
) -> int:
    """Returns the depth of the least cross-validated mean squared error, averaged over the scaled factors."""
    targets = ((factors - factors.min(axis=0)) / np.ptp(factors, axis=0)).T

    def error(depth: int) -> float:
        score = partial(cross_val_score, cv=5, scoring="neg_mean_squared_error")
        return -float(np.mean([score(forest(max_depth=depth), codes, target) for target in targets]))

    return min(DEPTHS, key=error)
