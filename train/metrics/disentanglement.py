"""Every disentanglement score of one set of codes, under the names that tables and reports use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from train.metrics.beta_vae import beta_vae_score
from train.metrics.dci import DCI, dci
from train.metrics.factor_vae import factor_vae_score
from train.metrics.interventions import Represent
from train.metrics.irs import irs
from train.metrics.mig import mig
from train.metrics.modularity import explicitness, modularity
from train.metrics.regressors import Regressor
from train.metrics.sap import sap

DESCRIPTIONS = {
    "dci_disentanglement": "each code serves one factor; 0 to 1, noise near 0",
    "dci_completeness": "each factor is served by one code; 0 to 1, noise near 0",
    "dci_informativeness": "all codes predict the factors; at most 1, noise at chance (a forest: up to 0.5)",
    "mig": "lead of the best code over the second in mutual information / H(factor); 0 to 1, noise near 0",
    "sap": "lead of the best code over the second in accuracy; 0 to 1, noise near 0",
    "modularity": "each code informs of one factor; 0 to 1, noise around 0.7",
    "explicitness": "linear classifiers on all codes, ROC area on test codes; noise 0.5, best 1",
    "irs": "codes keep still while their factor is held; 0 to 1, noise around 0.3",
    "factor_vae": "the code that varies least tells the held factor; accuracy, noise 1 / factors, best 1",
    "beta_vae": "differences of pairs tell the shared factor; accuracy, noise 1 / factors, best 1",
}


@dataclass(frozen=True)
class Scores:
    """The scores of one set of codes.

    Attributes:
      values: score by name, in the order of `DESCRIPTIONS`; the last two only where the network was given.
      dci: the importances and parts that the first three are made of.
    """

    values: Mapping[str, float]
    dci: DCI


def describe(regressor: Regressor) -> dict[str, str]:
    """Returns what each score measures, its range and its value for noise; for DCI also the regressor."""
    return {
        name: f"{line}; by {regressor}" if name.startswith("dci_") else line
        for name, line in DESCRIPTIONS.items()
    }


def score_codes(
    codes_train: Float[np.ndarray, "N L"],
    factors_train: Int[np.ndarray, "N F"],
    codes_test: Float[np.ndarray, "M L"],
    factors_test: Int[np.ndarray, "M F"],
    *,
    regressor: Regressor = "gradient-boosting",
    represent: Represent | None = None,
    factor_sizes: Sequence[int] = (),
    train_votes: int = 10_000,
    test_votes: int = 5_000,
    batch_size: int = 64,
    variance_points: int = 10_000,
    rows_per_call: int = 1024,
    seed: int = 0,
    threads: int | None = None,
) -> Scores:
    """Returns every score of one set of codes; the same again for the same seed, whatever `threads`.

    MIG, modularity and IRS are of the training codes, the rest is fitted to training and measured on test
    codes.

    Args:
      codes_train: codes that classifiers are fitted to.
      factors_train: their factors, class indices.
      codes_test: codes that classifiers are tested on.
      factors_test: their factors.
      regressor: DCI's, one of `train.metrics.regressors.REGRESSORS`.
      represent: factors [N, F] -> codes [N, L]; with it come the FactorVAE score, which encodes
        (train_votes + test_votes) * batch_size + variance_points images, and the beta-VAE score, which takes
        2 (train_votes + test_votes) * batch_size.
      factor_sizes: number of classes of each factor, for `represent`.
      train_votes: points that these two are fitted to.
      test_votes: points that they are tested on.
      batch_size: images per FactorVAE vote, pairs per beta-VAE point.
      variance_points: images for the FactorVAE score's global variances.
      rows_per_call: images per call of `represent`, about.
      seed: of regressors and votes.
      threads: for DCI, one per core by default.

    Raises:
      UserError: fewer than two codes or factors, a factor constant in the training set, a code that is not
        finite, a regressor unknown or not installed.
    """
    data = codes_train, factors_train, codes_test, factors_test
    found = dci(*data, regressor=regressor, seed=seed, threads=threads)
    values = {
        "dci_disentanglement": found.disentanglement,
        "dci_completeness": found.completeness,
        "dci_informativeness": found.informativeness_test,
        "mig": mig(codes_train, factors_train),
        "sap": sap(*data),
        "modularity": modularity(codes_train, factors_train),
        "explicitness": float(explicitness(*data)[:, 1].mean()),
        "irs": irs(codes_train, factors_train).score,
    }
    if represent is not None:
        network = represent, factor_sizes, np.random.default_rng(seed)
        values["factor_vae"] = factor_vae_score(
            *network,
            train_votes=train_votes,
            test_votes=test_votes,
            batch_size=batch_size,
            variance_points=variance_points,
            rows_per_call=rows_per_call,
        ).test
        values["beta_vae"] = beta_vae_score(
            *network,
            train_points=train_votes,
            test_points=test_votes,
            batch_size=batch_size,
            rows_per_call=rows_per_call,
        ).test
    return Scores(values, found)
