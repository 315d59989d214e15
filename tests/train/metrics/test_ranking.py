import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.ranking import rank_metrics

KS = (1, 3, 10)
CDAE = [
    f"{name}@{k}"
    for name, k in (*(("precision", k) for k in (1, 5, 10)), *(("recall_of_all", k) for k in (1, 5, 10)))
]


ranked = jax.jit(rank_metrics, static_argnums=(3, 4))


def one_user(scores, seen, held, k):
    """The metrics by their definitions, one item after the other."""
    order = sorted((i for i in range(len(scores)) if not seen[i]), key=lambda i: (-scores[i], i))
    ranked = [i for i in order if scores[i] != -np.inf][:k]
    n = int(held.sum())
    hits = [bool(held[i]) for i in ranked]
    precision = [sum(hits[: r + 1]) / (r + 1) for r in range(len(hits))]
    return {
        f"ndcg@{k}": sum(h / np.log2(r + 2) for r, h in enumerate(hits))
        / sum(1 / np.log2(r + 2) for r in range(min(k, n))),
        f"recall@{k}": sum(hits) / min(k, n),
        f"recall_of_all@{k}": sum(hits) / n,
        f"precision@{k}": sum(hits) / k,
        f"map@{k}": sum(p for p, h in zip(precision, hits, strict=True) if h) / min(k, n),
        f"mrr@{k}": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
    }


def test_goldens(shared):
    golden = np.load(shared / "parity/recsys_goldens.npz", allow_pickle=False)
    arrays = (jnp.asarray(golden[f"met/{name}"], jnp.float32) for name in ("scores", "foldin", "heldout"))
    found = ranked(*arrays, (1, 5, 10, 20, 50, 100))
    for k in (5, 10, 20, 50, 100):
        for name in ("ndcg", "recall"):
            np.testing.assert_allclose(found[f"{name}@{k}"], golden[f"met/{name}@{k}"], rtol=1e-5)
    stored = golden["met/cdae_P1_P5_P10_R1_R5_R10_MAP5_MAP10"]
    for name, values in zip([*CDAE, "map@5", "map@10"], stored.T, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-5)


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_brute_force_with_ties_and_short_rows(self):
        random = np.random.default_rng(0)
        scores = random.integers(-2, 3, (40, 7)).astype(np.float32)  # many ties, and k beyond the items
        seen = (random.random((40, 7)) < 0.3).astype(np.float32)
        held = ((random.random((40, 7)) < 0.3) & (seen == 0)).astype(np.float32)
        scores[:5, :4] = -np.inf
        seen[6] = 1
        held[6] = 0
        found = self.variant(lambda *a: rank_metrics(*a, KS))(*map(jnp.asarray, (scores, seen, held)))
        for user in range(40):
            for k in KS:
                for name, value in found.items():
                    if not name.endswith(f"@{k}"):
                        continue
                    if not held[user].any():
                        assert np.isnan(value[user])
                        continue
                    wanted = one_user(scores[user], seen[user], held[user], k)[name]
                    np.testing.assert_allclose(
                        value[user], wanted, rtol=1e-6, atol=1e-7, err_msg=f"{name} {user}"
                    )


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_only_the_order_counts(seed):
    random = np.random.default_rng(seed)
    scores = random.permuted(np.tile(np.linspace(-1, 1, 12, dtype=np.float32), (6, 1)), axis=1)
    held = np.tile(np.arange(12) < 3, (6, 1)).astype(np.float32)
    seen = np.tile(np.arange(12) >= 10, (6, 1)).astype(np.float32)
    shuffle = random.permutation(12)
    before = ranked(*map(jnp.asarray, (scores, seen, held)), KS)
    monotone = ranked(*map(jnp.asarray, (np.exp(5 * scores), seen, held)), KS)
    permuted = ranked(*(jnp.asarray(a[:, shuffle]) for a in (scores, seen, held)), KS)
    for name, value in before.items():
        np.testing.assert_allclose(monotone[name], value, rtol=1e-6)
        np.testing.assert_allclose(permuted[name], value, rtol=1e-6)


def test_more_columns_than_items_change_nothing():
    random = np.random.default_rng(1)
    scores, seen = random.normal(size=(4, 6)).astype(np.float32), np.zeros((4, 6), np.float32)
    held = (np.arange(6) % 2 * np.ones((4, 1))).astype(np.float32)
    wide = [
        np.pad(a, ((0, 0), (0, 2)), constant_values=fill) for a, fill in ((scores, 9), (seen, 0), (held, 0))
    ]
    plain = ranked(*map(jnp.asarray, (scores, seen, held)), KS)
    for name, value in ranked(*map(jnp.asarray, wide), KS, 6).items():
        np.testing.assert_array_equal(value, plain[name])


@pytest.mark.parametrize("seen", [0.0, 1.0])
def test_a_score_that_is_no_number_is_not_passed_over(seen):
    scores = jnp.array([[0.0, jnp.nan, 1.0]])
    found = ranked(scores, jnp.array([[0.0, seen, 0.0]]), jnp.array([[1.0, 0.0, 0.0]]), (2,))
    assert np.isnan(found["ndcg@2"][0]) == (seen == 0)
