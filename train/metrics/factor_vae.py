"""The FactorVAE score (Kim & Mnih 2018), as disentanglement_lib computes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from train.metrics.interventions import Represent, random_factors, reduced_codes


@dataclass(frozen=True)
class FactorVAEScore:
    """Accuracy of the majority vote, 1/F to 1, on training and on fresh votes, and which codes took part."""

    train: float
    test: float
    active: Bool[np.ndarray, " L"]


def factor_vae_score(
    represent: Represent,
    factor_sizes: Sequence[int],
    rng: np.random.Generator,
    *,
    train_votes: int = 10_000,
    test_votes: int = 5_000,
    batch_size: int = 64,
    variance_points: int = 10_000,
    prune_threshold: float = 0.05,
    rows_per_call: int = 1024,
) -> FactorVAEScore:
    """Returns how well the code that varies least, against its global variance, tells which factor is held.

    Each vote takes `batch_size` images that share one factor's value. Codes of a standard deviation under
    `prune_threshold` don't take part; if none is left the score is 0.

    Args:
      represent: factors [N, F] -> codes [N, L].
      factor_sizes: number of classes of each factor.
      rng: consumed.
      train_votes: votes that choose the majority factor of each code.
      test_votes: votes that it is tested on.
      batch_size: images per vote.
      variance_points: images for the global variance.
      prune_threshold: in the codes' unit.
      rows_per_call: images per call of `represent`, about.

    Raises:
      UserError: a code that is not finite.
    """
    singles = random_factors(rng, factor_sizes, (variance_points, 1))
    variance = reduced_codes(represent, singles, lambda codes: codes[:, 0], rows_per_call).var(axis=0, ddof=1)
    active = np.sqrt(variance) >= prune_threshold
    if not active.any():
        return FactorVAEScore(0.0, 0.0, active)

    def votes(count: int) -> Int[np.ndarray, "F active"]:
        held, factors = _factors_with_one_held(rng, factor_sizes, count, batch_size)
        local = reduced_codes(represent, factors, _variances, rows_per_call)
        table = np.zeros((len(factor_sizes), active.sum()), int)
        np.add.at(table, (held, (local[:, active] / variance[active]).argmin(axis=1)), 1)
        return table

    train, test = votes(train_votes), votes(test_votes)
    hits = test[train.argmax(axis=0), np.arange(train.shape[1])].sum()
    return FactorVAEScore(float(train.max(axis=0).sum() / train_votes), float(hits / test_votes), active)


def _variances(codes: Float[np.ndarray, "G B L"]) -> Float[np.ndarray, "G L"]:
    """Returns each code's unbiased variance in each group."""
    return codes.var(axis=1, ddof=1)


def _factors_with_one_held(
    rng: np.random.Generator, factor_sizes: Sequence[int], votes: int, batch_size: int
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, "V B F"]]:
    """Returns which factor each vote holds, and a batch of factors per vote that agree in it."""
    held, rows = rng.integers(len(factor_sizes), size=votes), np.arange(votes)
    factors = random_factors(rng, factor_sizes, (votes, batch_size))
    factors[rows, :, held] = factors[rows, :1, held]
    return held, factors
