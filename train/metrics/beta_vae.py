"""The beta-VAE score (Higgins et al. 2017), as disentanglement_lib computes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression

from train.metrics.interventions import Represent, random_factors, reduced_codes


@dataclass(frozen=True)
class BetaVAEScore:
    """Accuracy of the linear classifier, 1/F to 1, on training and on fresh points."""

    train: float
    test: float


def beta_vae_score(
    represent: Represent,
    factor_sizes: Sequence[int],
    rng: np.random.Generator,
    *,
    train_points: int = 10_000,
    test_points: int = 5_000,
    batch_size: int = 64,
    rows_per_call: int = 1024,
) -> BetaVAEScore:
    """Returns how well the mean difference of pairs of codes tells which factor each pair shares.

    The classifier is scikit-learn's logistic regression, run to convergence (its default of 100 steps gives
    the same where it suffices). It is regularised, so that the score depends on the codes' scale.

    Args:
      represent: factors [N, F] -> codes [N, L].
      factor_sizes: number of classes of each factor.
      rng: consumed.
      train_points: points the classifier is fitted to.
      test_points: points it is tested on.
      batch_size: pairs per point, each of two images.
      rows_per_call: images per call of `represent`, about.

    Raises:
      UserError: a code that is not finite.
    """
    train, held_train = _points(represent, factor_sizes, rng, train_points, batch_size, rows_per_call)
    test, held_test = _points(represent, factor_sizes, rng, test_points, batch_size, rows_per_call)
    model = LogisticRegression(max_iter=1000).fit(train, held_train)
    return BetaVAEScore(float(model.score(train, held_train)), float(model.score(test, held_test)))


def _points(
    represent: Represent,
    factor_sizes: Sequence[int],
    rng: np.random.Generator,
    points: int,
    batch_size: int,
    rows_per_call: int,
) -> tuple[Float[np.ndarray, "P L"], Int[np.ndarray, " P"]]:
    """Returns the mean over pairs of |z1 - z2|, and the factor that both of each pair share."""
    held, rows = rng.integers(len(factor_sizes), size=points), np.arange(points)
    pairs = random_factors(rng, factor_sizes, (points, 2, batch_size))
    pairs[rows, 1, :, held] = pairs[rows, 0, :, held]

    def difference(codes: Float[np.ndarray, "P twoB L"]) -> Float[np.ndarray, "P L"]:
        return np.abs(codes[:, :batch_size] - codes[:, batch_size:]).mean(axis=1)

    groups = pairs.reshape(points, 2 * batch_size, len(factor_sizes))
    return reduced_codes(represent, groups, difference, rows_per_call), held
