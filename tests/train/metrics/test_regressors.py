import sys

import numpy as np
import pytest

from tests.train.metrics.conftest import aligned, factors_of, noise
from train.errors import UserError
from train.metrics.dci import dci
from train.metrics.regressors import REGRESSORS, fitter

SIZES = (3, 4)
TRAIN, TEST = factors_of(200, SIZES), factors_of(100, SIZES, seed=2)
# Spec of the reference measurements, section 6: D with 100 trees of depth 3 on the set named "mixed".
XGBOOST_MIXED = {"xgboost-exact": 0.427, "xgboost-approx": 0.425, "xgboost-hist": 0.428}


@pytest.fixture(params=REGRESSORS)
def regressor(request):
    if request.param.startswith("xgboost"):
        pytest.importorskip("xgboost", reason="the extra [xgboost] is not installed")
    return request.param


def test_own_codes_are_found(regressor):
    codes = np.c_[aligned(TRAIN), noise(TRAIN, 1)], np.c_[aligned(TEST), noise(TEST, 1)]
    found = dci(codes[0], TRAIN, codes[1], TEST, regressor=regressor)
    assert found.regressor == regressor
    np.testing.assert_allclose(found.importance.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(found.importance.argmax(axis=0), [0, 1])
    assert found.disentanglement > 0.9 and found.completeness > 0.9 and found.informativeness_test > 0.99


def test_a_seed_gives_one_answer_on_any_number_of_threads(regressor):
    codes = noise(TRAIN, 3), noise(TEST, 3)
    first, second = (
        dci(codes[0], TRAIN, codes[1], TEST, regressor=regressor, seed=3, threads=threads)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(first.importance, second.importance)
    assert first.informativeness_test == second.informativeness_test


def test_constant_codes_have_no_importance(regressor):
    fitted = fitter(regressor, np.ones((200, 2)), TRAIN, 0)(
        np.ones((200, 2)), TRAIN[:, 0], np.ones((100, 2)), TEST[:, 0]
    )
    assert not fitted.importance.any()


@pytest.mark.parametrize("name", XGBOOST_MIXED)
def test_xgboost_as_measured(mixed, name):
    pytest.importorskip("xgboost", reason="the extra [xgboost] is not installed")
    found = dci(*mixed.both, regressor=name)
    np.testing.assert_allclose(found.disentanglement, XGBOOST_MIXED[name], atol=5e-3, rtol=0)


def test_forest_on_noise():
    """At best it answers the mean: an error of a uniform label's variance, 1/12 or more, so at most 1/2."""
    found = dci(noise(TRAIN), TRAIN, noise(TEST, seed=9), TEST, regressor="random-forest")
    assert 0 <= found.informativeness_test < 0.5


def test_forest_scales_factors_by_the_training_set():
    codes = noise(TRAIN, 2) + TRAIN
    plain, moved = (
        dci(codes, TRAIN * scale + 5, codes, TRAIN * scale + 5, regressor="random-forest") for scale in (1, 2)
    )
    np.testing.assert_allclose(plain.importance, moved.importance)
    np.testing.assert_allclose(plain.informativeness_test, moved.informativeness_test)


def test_classes_need_not_be_consecutive_nor_seen_in_training():
    codes, labels = aligned(TRAIN), 7 * TRAIN + 3
    fit = fitter("gradient-boosting", codes, labels, 0)
    fitted = fit(codes, labels[:, 0], codes, np.where(labels[:, 0] == 3, 99, labels[:, 0]))
    assert fitted.train == 1
    np.testing.assert_allclose(fitted.test, (TRAIN[:, 0] != 0).mean())


def test_unknown_and_missing(monkeypatch):
    with pytest.raises(UserError, match="choose from gradient-boosting, random-forest"):
        fitter("lasso", aligned(TRAIN), TRAIN, 0)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(UserError, match=r"run pip install '.\[xgboost\]'"):
        fitter("xgboost-hist", aligned(TRAIN), TRAIN, 0)
