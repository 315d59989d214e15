import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from train.data.generalisation import read_split
from train.metrics import recommender_baselines
from train.metrics.ranking import rank_metrics
from train.metrics.recommender_baselines import ease, item_knn, popularity

ranked = jax.jit(rank_metrics, static_argnums=3)


def clicks(seed=0, shape=(30, 12)):
    return csr_array((np.random.default_rng(seed).random(shape) < 0.3).astype(np.float32))


def test_ease_golden(shared):
    golden = np.load(shared / "parity/recsys_goldens.npz", allow_pickle=False)
    weights = ease(csr_array(golden["ease/x"]), float(golden["ease/lam"]))
    np.testing.assert_allclose(weights, golden["ease/B"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(golden["ease/x"] @ weights, golden["ease/scores"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "weight", "wanted"), [("ml1m", 500, 0.4198), ("ml100k", 300, 0.4654)], ids=["ml1m", "ml100k"]
)
def test_ease_and_popularity_on_movielens(shared, name, weight, wanted):
    split, _ = read_split(shared / "data/recsys" / f"split_{name}_strong.npz", "strong")
    given_, held = (jnp.asarray(side.toarray()) for side in (split.test.given, split.test.held))
    scores = split.test.given @ ease(split.train, weight)
    found = np.nanmean(ranked(jnp.asarray(scores, jnp.float32), given_, held, (100,))["ndcg@100"])
    assert abs(found - wanted) < 5e-4
    everyone = jnp.asarray(np.tile(popularity(split.train), (len(scores), 1)), jnp.float32)
    found = np.nanmean(ranked(everyone, given_, held, (100,))["ndcg@100"])
    assert abs(found - {"ml1m": 0.2175, "ml100k": 0.2620}[name]) < 5e-4


@pytest.mark.parametrize("block", [5, 1024])
def test_ease_solves_its_least_squares(block, monkeypatch):
    monkeypatch.setattr(recommender_baselines, "BLOCK", block)
    x, weight = clicks().toarray().astype(np.float64), 3.0
    weights = ease(csr_array(x), weight)
    # For each item, ridge regression of its column on all others.
    for j in range(12):
        others = np.delete(np.arange(12), j)
        a = x[:, others]
        wanted = np.linalg.solve(a.T @ a + weight * np.eye(11), a.T @ x[:, j])
        np.testing.assert_allclose(weights[others, j], wanted, rtol=1e-8, atol=1e-12)
    assert (np.diag(weights) == 0).all()
    with pytest.raises(ValueError, match="not positive"):
        ease(csr_array(x), 0.0)


@pytest.mark.parametrize("block", [5, 1024])
def test_item_knn_by_its_definition(block, monkeypatch):
    monkeypatch.setattr(recommender_baselines, "BLOCK", block)
    x = clicks(1).toarray().astype(np.float64)
    norms = np.linalg.norm(x, axis=0)
    cosine = x.T @ x / np.outer(norms, norms)
    np.fill_diagonal(cosine, 0)
    found = item_knn(csr_array(x), 3)
    for j in range(12):
        least = np.sort(cosine[:, j])[-3]
        wanted = np.where(cosine[:, j] >= least - 1e-12, cosine[:, j], 0)
        np.testing.assert_allclose(found[:, j], wanted, rtol=1e-6)
    np.testing.assert_allclose(item_knn(csr_array(x), 100), cosine, rtol=1e-6)


@settings(max_examples=10)
@given(st.permutations(range(12)))
def test_the_numbers_of_items_mean_nothing(order):
    x = clicks(2)
    shuffled = csr_array(x.toarray()[:, order])
    np.testing.assert_array_equal(popularity(shuffled), popularity(x)[order])
    for fit, value in ((ease, 2.0), (item_knn, 4)):
        np.testing.assert_allclose(
            fit(shuffled, value), fit(x, value)[np.ix_(order, order)], rtol=1e-5, atol=1e-7
        )


def test_items_that_nobody_has():
    x = np.zeros((4, 3), np.float32)
    x[:, 0] = 1
    assert np.isfinite(item_knn(csr_array(x), 2)).all() and np.isfinite(ease(csr_array(x), 1.0)).all()
    np.testing.assert_array_equal(popularity(csr_array(x)), [4, 0, 0])
