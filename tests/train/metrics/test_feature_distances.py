"""Distances of feature sets: goldens, closed forms, brute force, streaming, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.errors import UserError
from train.metrics import feature_distances
from train.metrics.feature_distances import (
    Moments,
    frechet_distance,
    in_batches,
    kernel_distance,
    polynomial_mmd,
    precision_recall,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6))
Y = 0.7 * RNG.normal(size=(33, 6)) + 0.3


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "parity" / "metrics_image_rank.npz") as file:
        return {name: file[name] for name in file.files if name.startswith(("fid", "kid", "prdc"))}


def frechet(x, y):
    return frechet_distance(Moments.of(x), Moments.of(y))


@pytest.mark.parametrize("kind", ["full", "d1"])
def test_frechet_golden(golden, kind):
    found = frechet(golden[f"fid/{kind}/f1"], golden[f"fid/{kind}/f2"])
    np.testing.assert_allclose(found, golden[f"fid/{kind}/value"], rtol=1e-10)


def test_singular_frechet_golden(golden):
    """Exact, by tr (C_a C_b)^1/2 = the nuclear norm of A B^T; roots of rounding leave 6e-7 in the stored values."""
    x, y = golden["fid/singular/f1"], golden["fid/singular/f2"]
    found = frechet(x, y)
    a, b = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (x, y))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    gap = np.sum((x.mean(0) - y.mean(0)) ** 2)
    np.testing.assert_allclose(found, gap + np.sum(a**2) + np.sum(b**2) - 2 * cross, rtol=1e-12)
    for name in ("value", "value_eigh"):
        np.testing.assert_allclose(found, golden[f"fid/singular/{name}"], rtol=0, atol=1e-6)


def test_kernel_golden(golden):
    found = polynomial_mmd(golden["fid/full/f1"], golden["fid/full/f2"])
    np.testing.assert_allclose(found, golden["kid/full"], rtol=1e-10)


@pytest.mark.parametrize("rows_at_once", [1024, 50])
def test_precision_and_recall_golden(golden, monkeypatch, rows_at_once):
    monkeypatch.setattr(feature_distances, "ROWS_AT_ONCE", rows_at_once)
    sets = {len(f): f[:, :8] for f in (golden["fid/full/f1"][:120], golden["fid/full/f2"][:110])}
    found = precision_recall(sets[120], sets[110], 5)
    for name, value in found._asdict().items():
        np.testing.assert_allclose(value, golden[f"prdc/k5/{name}"], rtol=1e-10)


def test_frechet_of_known_gaussians():
    """Between diagonal covariances it is |m_a - m_b|^2 + sum (s_a - s_b)^2; a set has none from itself."""
    s_a, s_b, gap = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.0, 0.0]), np.array([0.5, -1.0, 2.0])
    a = Moments(11, np.zeros(3), 10 * np.diag(s_a**2))
    b = Moments(6, gap, 5 * np.diag(s_b**2))
    np.testing.assert_allclose(frechet_distance(a, b), np.sum(gap**2) + np.sum((s_a - s_b) ** 2))
    np.testing.assert_allclose(frechet(X, X), 0, atol=1e-9)
    np.testing.assert_allclose(frechet(X, X + gap.repeat(2)), 2 * np.sum(gap**2), rtol=1e-9)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 39), max_size=4), st.permutations(range(40)))
def test_moments_are_those_of_the_whole_set_however_it_is_cut(cuts, order):
    moments = Moments.of_batches(
        part for part in np.split(1e3 + X[list(order)], sorted(set(cuts))) if len(part)
    )
    assert moments.count == 40
    np.testing.assert_allclose(moments.mean, 1e3 + X.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(X, rowvar=False), rtol=1e-6, atol=1e-8)


def test_frechet_and_kernel_distance_do_not_depend_on_the_axes():
    q, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    np.testing.assert_allclose(frechet(X @ q, Y @ q), frechet(X, Y), rtol=1e-9)
    np.testing.assert_allclose(frechet(Y, X), frechet(X, Y), rtol=1e-9)
    np.testing.assert_allclose(polynomial_mmd(X @ q, Y @ q), polynomial_mmd(X, Y), rtol=1e-9)


def test_kernel_distance_by_brute_force():
    def mean(x, y, skip):
        pairs = [
            (x[i] @ y[j] / 6 + 1) ** 3 for i in range(len(x)) for j in range(len(y)) if i != j or not skip
        ]
        return np.mean(pairs)

    expected = mean(X, X, True) + mean(Y, Y, True) - 2 * mean(X, Y, False)
    np.testing.assert_allclose(polynomial_mmd(X, Y), expected, rtol=1e-10)


def test_subsets():
    """Whole sets have no spread; subsets have their mean near the whole, which the unbiased estimate makes so."""
    same = kernel_distance(X[:33], Y, subsets=3, size=33)
    np.testing.assert_allclose(same, [polynomial_mmd(X[:33], Y), 0], rtol=1e-9, atol=1e-12)
    found = kernel_distance(X, Y, subsets=200, size=20, seed=1)
    assert found == kernel_distance(X, Y, subsets=200, size=20, seed=1)
    assert abs(found.mean - polynomial_mmd(X, Y)) < 4 * found.deviation / 200**0.5
    with pytest.raises(ValueError, match="subsets of 40 rows of sets of 40 and 33"):
        kernel_distance(X, Y, size=40)


def test_precision_and_recall_by_brute_force():
    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[2]

    inside = np.array([[np.linalg.norm(x - y) < radius(X, i) for y in Y] for i, x in enumerate(X)])
    reached = np.array([[np.linalg.norm(x - y) < radius(Y, j) for j, y in enumerate(Y)] for x in X])
    found = precision_recall(X, Y, 3)
    expected = (inside.any(0).mean(), reached.any(1).mean(), inside.sum(0).mean() / 3, inside.any(1).mean())
    np.testing.assert_allclose(found, expected)


def test_equal_and_distant_sets():
    assert precision_recall(X, X + 1e3, 3) == (0, 0, 0, 0)
    assert precision_recall(X, X, 3)[:2] == (1, 1)


def test_batches_have_one_size():
    seen = []

    def network(images):
        seen.append(images.shape)
        return images.reshape(len(images), -1).astype(float)

    images = RNG.integers(0, 255, (7, 2, 2, 3))
    found = np.concatenate(list(in_batches(network, images, 3)))
    np.testing.assert_array_equal(found, images.reshape(7, -1))
    assert seen == [(3, 2, 2, 3)] * 3


def test_wrong_features():
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(UserError, match=r"rows \[3\]"):
        Moments.of(bad)
    with pytest.raises(ValueError, match=r"\[N, d\], got \(3,\)"):
        Moments.of(np.zeros(3))
    with pytest.raises(ValueError, match="at least two rows"):
        frechet(X[:1], Y)
    with pytest.raises(ValueError, match="two rows of each set"):
        polynomial_mmd(X, Y[:1])
    with pytest.raises(ValueError, match="no neighbour number 5"):
        precision_recall(X, Y[:5], 5)
    with pytest.raises(ValueError, match="no features"):
        Moments.of_batches([])
