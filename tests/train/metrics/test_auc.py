"""AUC: the reference's, a loop over the definition, ties, blocks of users, cold items."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from train.metrics import auc

compiled = jax.jit(auc.held_out_auc, static_argnames="ties")


def random_case(seed, users=7, items=23, k=3, levels=6):
    """Scores with many ties; users with many, one or no held-out item, and one without negatives."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (users, items)).astype(np.float32)
    known = rng.random((users, items)) < 0.3
    held = np.full((users, k), items, np.int32)
    for user in range(users):
        count = user % (k + 1)
        held[user, :count] = rng.permutation(items)[:count]
        known[user, held[user, :count]] = True
    known[-1] = True
    return scores, held, known


def by_loop(scores, held, known, tie):
    out = np.full(held.shape, np.nan)
    for user, row in enumerate(held):
        negatives = [j for j in range(scores.shape[1]) if not known[user, j]]
        for place, i in enumerate(row):
            if 0 <= i < scores.shape[1] and negatives:
                won = [scores[user, j] < scores[user, i] for j in negatives]
                drawn = [scores[user, j] == scores[user, i] for j in negatives]
                out[user, place] = np.mean(won) + tie * np.mean(drawn)
    return out


@pytest.mark.parametrize("ties", ["strict", "half"])
def test_reference(ties, shared):
    """1e-5 relative, as its README says; the user without negatives is NaN. Scores have no ties."""
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as gold:
        scores, seen, heldout = (gold[f"met/{key}"] for key in ("scores", "foldin", "heldout"))
        expected = gold["met/auc"]
    items = scores.shape[1]
    held = np.full((len(scores), heldout.sum(1).max()), items, np.int32)
    for user, row in enumerate(heldout):
        held[user, : row.sum()] = np.flatnonzero(row)
    known = jnp.asarray((seen + heldout) > 0)
    ours = auc.per_user(auc.held_out_auc(jnp.float32(scores), jnp.asarray(held), known, ties))
    np.testing.assert_array_equal(np.isnan(expected), np.arange(25) == 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize(("ties", "tie"), [("strict", 0.0), ("half", 0.5)])
def test_definition(ties, tie):
    for seed in range(5):
        case = random_case(seed)
        np.testing.assert_allclose(compiled(*case, ties=ties), by_loop(*case, tie), rtol=1e-6)


def test_half_ties_are_the_area_under_the_roc_curve():
    scores, _, _ = random_case(0, users=1, items=40)
    label = np.arange(40) < 9
    held = jnp.arange(9)[None]
    ours = auc.per_user(auc.held_out_auc(jnp.asarray(scores), held, jnp.asarray(label)[None], "half"))
    u = stats.mannwhitneyu(scores[0, label], scores[0, ~label]).statistic
    np.testing.assert_allclose(ours[0], u / (9 * 31), rtol=1e-6)


def test_equal_scores_are_no_success():
    """A model that knows nothing of its items has AUC 0, and 1/2 with ties at one half."""
    case = jnp.zeros((2, 5)), jnp.asarray([[0], [3]]), jnp.asarray([[True, False, True, False, True]] * 2)
    np.testing.assert_array_equal(auc.held_out_auc(*case), 0)
    np.testing.assert_array_equal(auc.held_out_auc(*case, "half"), 0.5)


def test_by_hand():
    """Item 2 scores above two of three negatives; the known item 4 is none of them."""
    scores = jnp.asarray([[0.1, 0.2, 0.3, 0.4, 0.0]])
    known = jnp.asarray([[False, False, True, False, True]])
    np.testing.assert_allclose(auc.held_out_auc(scores, jnp.asarray([[2]]), known), [[2 / 3]], rtol=1e-6)


def test_blocks_of_users():
    """Seven users in blocks of three."""
    scores, held, known = map(jnp.asarray, random_case(1))
    whole = auc.held_out_auc(scores, held, known)

    def rows(user):
        assert user.shape == (3,)
        return scores[user], known[user]

    np.testing.assert_array_equal(auc.in_blocks(rows, held, block=3), whole)


def test_mean_over_items_of_a_user():
    values = jnp.asarray([[[0.2, 0.4, jnp.nan], [jnp.nan] * 3]])
    np.testing.assert_allclose(auc.per_user(values), [[0.3, np.nan]], rtol=1e-6)


def test_cold_items():
    clicks = jnp.asarray([5, 4, 0])
    held = jnp.asarray([[0, 1], [2, 3]])
    values = jnp.asarray([[0.1, 0.2], [0.3, jnp.nan]])
    nan = np.nan
    np.testing.assert_allclose(auc.of_cold_items(values, held, clicks), [[nan, 0.2], [0.3, nan]], rtol=1e-6)
    of_seeds = auc.of_cold_items(values[None], held, clicks, below=1)
    np.testing.assert_allclose(of_seeds, [[[nan, nan], [0.3, nan]]], rtol=1e-6)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_only_the_order_of_scores_counts(seed):
    scores, held, known = random_case(seed)
    for ties in ("strict", "half"):
        monotone = compiled(np.exp(scores / 3) - 7, held, known, ties=ties)
        np.testing.assert_array_equal(monotone, compiled(scores, held, known, ties=ties))


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_reversed_scores(seed):
    """What scores below and what scores above add up to 1 with ties at one half, to less with strict ones."""
    scores, held, known = random_case(seed)
    half, strict = (
        sum(np.asarray(compiled(s, held, known, ties=ties)) for s in (scores, -scores))
        for ties in ("half", "strict")
    )
    real = ~np.isnan(half)
    np.testing.assert_allclose(half[real], 1, rtol=1e-6)
    assert (strict[real] <= half[real] + 1e-6).all()


class TestVariants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_variants(self):
        case = random_case(2)
        ours = self.variant(auc.held_out_auc)(*map(jnp.asarray, case))
        np.testing.assert_allclose(ours, by_loop(*case, 0.0), rtol=1e-6)
