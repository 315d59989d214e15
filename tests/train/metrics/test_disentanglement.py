import numpy as np
import pytest

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.metrics.disentanglement import DESCRIPTIONS, describe, score_codes

SIZES = (2, 3, 2)
TRAIN, TEST = factors_of(300, SIZES), factors_of(150, SIZES, seed=2)
FEW = {"train_votes": 100, "test_votes": 60, "batch_size": 8, "variance_points": 200}


def test_golden(mixed):
    names = {
        "dci_disentanglement": "dci/disentanglement",
        "dci_completeness": "dci/completeness",
        "dci_informativeness": "dci/informativeness_test",
        "mig": "mig/score",
        "sap": "sap/discrete",
        "modularity": "modularity",
        "irs": "irs/avg",
    }
    values = score_codes(*mixed.both).values
    for ours, theirs in names.items():
        np.testing.assert_allclose(values[ours], mixed[theirs], atol=5e-3, rtol=0, err_msg=ours)
    explicit = mixed["explicitness_per_factor_train_test"][:, 1].mean()
    np.testing.assert_allclose(values["explicitness"], explicit, atol=5e-3, rtol=0)


def test_own_codes_beat_noise_in_every_score():
    good = score_codes(
        aligned(TRAIN), TRAIN, aligned(TEST), TEST, represent=aligned, factor_sizes=SIZES, **FEW
    ).values
    bad = score_codes(
        noise(TRAIN), TRAIN, noise(TEST, seed=9), TEST, represent=noise, factor_sizes=SIZES, **FEW
    ).values
    assert list(good) == list(bad) == list(DESCRIPTIONS)
    assert all(good[name] > bad[name] for name in DESCRIPTIONS)
    assert all(isinstance(value, float) for value in good.values())
    assert min(good[name] for name in ("dci_disentanglement", "modularity", "irs", "factor_vae")) > 0.95


def test_without_the_network_two_scores_are_missing():
    scores = score_codes(aligned(TRAIN), TRAIN, aligned(TEST), TEST, seed=4)
    assert set(DESCRIPTIONS) - set(scores.values) == {"factor_vae", "beta_vae"}
    assert scores.values["dci_completeness"] == scores.dci.completeness


@pytest.mark.parametrize("regressor", ["gradient-boosting", "random-forest"])
def test_regressor_is_named(regressor):
    lines = describe(regressor)
    assert list(lines) == list(DESCRIPTIONS)
    assert [name for name, line in lines.items() if regressor in line] == [
        "dci_disentanglement",
        "dci_completeness",
        "dci_informativeness",
    ]
