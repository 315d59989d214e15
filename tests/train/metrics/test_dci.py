import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.train.metrics.conftest import KINDS, aligned, factors_of, noise, read_golden
from train.errors import UserError
from train.metrics.dci import (
    completeness,
    completeness_per_factor,
    dci,
    disentanglement,
    disentanglement_per_code,
)

TRAIN, TEST = factors_of(150, sizes=(2, 3)), factors_of(80, sizes=(2, 3), seed=2)
importances = arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 0.01, 0.2, 1.0, 3.0]))
quick = settings(deadline=None, max_examples=50)


@pytest.mark.parametrize("case", ["identity", "uniform", "dead", "zero", "perm", "rand"])
def test_golden_formula(shared, case):
    with np.load(shared / "parity" / "metrics_dci_formula.npz") as file:
        golden = {name.removeprefix(f"{case}/"): file[name] for name in file.files if name.startswith(case)}
    check_formula(golden.pop("R"), golden)


def check_formula(importance, golden):
    found = {
        "disentanglement": disentanglement(importance),
        "completeness": completeness(importance),
        "disentanglement_per_code": disentanglement_per_code(importance),
        "completeness_per_factor": completeness_per_factor(importance),
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, golden[name], atol=1e-10, rtol=0, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_golden_formula_of_stored_importance(shared, kind):
    golden = read_golden(shared, kind)
    importance = golden["dci/importance"]
    check_formula(importance, {name.removeprefix("dci/"): value for name, value in golden.arrays.items()})
    np.testing.assert_allclose(
        disentanglement(importance), golden["dci_vaetc/disentanglement_same_importance"], atol=1e-8, rtol=0
    )
    np.testing.assert_allclose(
        completeness_per_factor(importance),
        golden["dci_vaetc/completeness_per_factor_same_importance"],
        atol=1e-8,
        rtol=0,
    )


def test_golden_gradient_boosting(mixed):
    found = dci(*mixed.both)
    assert found.regressor == "gradient-boosting"
    for name in (
        "importance",
        "disentanglement",
        "completeness",
        "informativeness_train",
        "informativeness_test",
    ):
        np.testing.assert_allclose(
            getattr(found, name), mixed[f"dci/{name}"], atol=5e-3, rtol=0, err_msg=name
        )


def loop_entropies(importance):
    for row in importance:
        p = (row + 1e-11) / (row + 1e-11).sum()
        yield 1 + sum(x * np.log(x) for x in p) / np.log(len(row))


@quick
@given(importances)
def test_equals_the_loop(importance):
    per_code = list(loop_entropies(importance))
    weights = importance.sum(axis=1) if importance.sum() else np.ones(4)
    np.testing.assert_allclose(disentanglement_per_code(importance), per_code, atol=1e-12)
    np.testing.assert_allclose(
        disentanglement(importance), np.dot(weights, per_code) / weights.sum(), atol=1e-12
    )
    np.testing.assert_allclose(
        completeness_per_factor(importance), [*loop_entropies(importance.T)], atol=1e-12
    )


@quick
@given(importances, st.permutations(range(4)), st.permutations(range(3)))
def test_bounds_and_permutations(importance, codes, factors):
    moved = importance[np.ix_(codes, factors)]
    for score in (disentanglement, completeness):
        assert -1e-12 <= score(importance) <= 1 + 1e-12
        np.testing.assert_allclose(score(moved), score(importance), atol=1e-12)


@quick
@given(importances.map(np.ceil).filter(np.any), st.sampled_from([2.0, 64.0]))
def test_scale_of_importance(importance, scale):
    # Up to the smoothing of 1e-11, so only for importances of order 1.
    np.testing.assert_allclose(disentanglement(scale * importance), disentanglement(importance), atol=1e-8)


def test_own_codes_score_one():
    found = dci(aligned(TRAIN), TRAIN, aligned(TEST), TEST)
    np.testing.assert_allclose(found.importance, np.eye(2), atol=1e-6)
    scores = found.disentanglement, found.completeness, found.informativeness_test
    np.testing.assert_allclose(scores, 1, atol=1e-4)


def test_noise_and_constant_codes():
    found = dci(noise(TRAIN), TRAIN, noise(TEST, seed=9), TEST)
    assert found.disentanglement < 0.2 and found.completeness < 0.2 and found.informativeness_test < 0.6
    dead = dci(np.ones((150, 3)), TRAIN, np.ones((80, 3)), TEST)
    assert not dead.importance.any()
    np.testing.assert_allclose([dead.disentanglement, dead.completeness], 0, atol=1e-12)


def test_threads_and_order_of_factors_change_nothing():
    codes = noise(TRAIN, 3), noise(TEST, 3)
    one = dci(codes[0], TRAIN, codes[1], TEST, threads=1)
    two = dci(codes[0], TRAIN[:, ::-1], codes[1], TEST[:, ::-1], threads=2)
    np.testing.assert_array_equal(one.importance, two.importance[:, ::-1])
    np.testing.assert_array_equal(one.informativeness_per_factor, two.informativeness_per_factor[::-1])


def test_a_monotone_map_of_the_codes_keeps_training_fits():
    codes = np.round(noise(TRAIN, 3), 2)
    one, other = (dci(z, TRAIN, z, TRAIN) for z in (codes, 8 * codes**3 + codes))
    np.testing.assert_allclose(one.importance, other.importance, atol=1e-6)
    assert one.informativeness_train == other.informativeness_train


@pytest.mark.parametrize(
    ("codes", "factors", "problem"),
    [
        (noise(TRAIN, 1), TRAIN, "compares codes"),
        (noise(TRAIN), TRAIN[:, :1], "compares factors"),
        (noise(TRAIN), TRAIN * [1, 0], "constant"),
        (noise(TRAIN) * np.nan, TRAIN, "not finite"),
    ],
)
def test_refuses(codes, factors, problem):
    with pytest.raises(UserError, match=problem):
        dci(codes, factors, codes, factors)
