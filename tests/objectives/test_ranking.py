"""Ranking losses against the reference arrays, NumPy loops, the gradients of the papers, and extreme scores."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from objectives import ranking
from objectives.ranking import (
    activate,
    bpr,
    bpr_max,
    bpr_pairs,
    cross_entropy,
    negative_softmax,
    top1,
    top1_max,
)

RNG = np.random.default_rng(0)
B, N = 5, 9
SCORES = jnp.asarray(RNG.standard_normal((B, N)), jnp.float32)
TARGET = jnp.asarray([0, 8, 3, 3, 5])
LOSSES = {
    "xe": cross_entropy,
    "xe, smooth": functools.partial(cross_entropy, smoothing=0.1),
    "bpr": bpr,
    "bpr, paper": functools.partial(bpr, reduction="paper"),
    "top1": top1,
    "top1, paper": functools.partial(top1, reduction="paper"),
    "top1-max": top1_max,
    "bpr-max": functools.partial(bpr_max, regularisation=0.5),
    "bpr-max, plain": bpr_max,
}


def sigma(x):
    return 1 / (1 + np.exp(-x))


def by_loop(name, r, i):
    """One row, as the equations read."""
    n, others = len(r), [j for j in range(len(r)) if j != i]
    log_p = r - np.log(np.sum(np.exp(r)))
    total = sum(np.exp(r[j]) for j in others)
    s = {j: np.exp(r[j]) / total for j in others}
    pair = {j: sigma(r[j] - r[i]) + sigma(r[j] ** 2) for j in range(n)}
    match name:
        case "xe":
            return -log_p[i]
        case "xe, smooth":
            return -(1 - n / (n - 1) * 0.1) * log_p[i] - 0.1 / (n - 1) * sum(log_p)
        case "bpr":
            return -sum(np.log(sigma(r[i] - r[j])) for j in range(n))
        case "bpr, paper":
            return -sum(np.log(sigma(r[i] - r[j])) for j in others) / (n - 1)
        case "top1":
            return sum(pair.values()) / n - sigma(r[i] ** 2) / n
        case "top1, paper":
            return sum(pair[j] for j in others) / (n - 1)
        case "top1-max":
            return sum(s[j] * pair[j] for j in others)
        case "bpr-max" | "bpr-max, plain":
            ranking = -np.log(sum(s[j] * sigma(r[i] - r[j]) for j in others))
            return ranking + (name == "bpr-max") * 0.5 * sum(s[j] * r[j] ** 2 for j in others)


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_loops(self):
        every = self.variant(lambda r, i: {name: loss(r, i) for name, loss in LOSSES.items()})(SCORES, TARGET)
        for name, rows in every.items():
            expected = [by_loop(name, np.float64(r), i) for r, i in zip(SCORES, TARGET, strict=True)]
            np.testing.assert_allclose(rows, expected, rtol=1e-5, err_msg=name)


def test_vmap_over_batches_of_one():
    """Per row: the value of a row does not depend on its batch."""

    def every(r, i):
        return {name: loss(r, i) for name, loss in LOSSES.items()}

    singles, together = jax.jit(lambda r, i: (jax.vmap(every)(r[:, None], i[:, None]), every(r, i)))(
        SCORES, TARGET
    )
    for name, rows in together.items():
        np.testing.assert_allclose(singles[name][:, 0], rows, rtol=1e-6, err_msg=name)


# Reference arrays.


@functools.cache
def golden(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive if key.startswith("rl/")}


def check_against(gold, losses):
    """Rows, their sum over the batch size, and its gradient, each where there is one, at 1e-9 in float64."""

    @jax.jit
    def evaluate(scores):
        def one(loss):
            rows, pull = jax.vjp(lambda r: loss(r, jnp.arange(16)), scores)
            return {
                "rows": rows,
                "sum_over_batchsize": rows.sum() / 16,
                "grad": pull(jnp.full(16, 1 / 16))[0],
            }

        return {prefix: one(loss) for prefix, loss in losses.items()}

    width = 16 if all("/inbatch/" in prefix for prefix in losses) else 48
    with jax.enable_x64(True):
        ours = evaluate(jnp.asarray(gold["rl/scores"][:, :width]))
    checked = 0
    for prefix, found in ours.items():
        for key in found:
            if f"{prefix}/{key}" in gold:
                expected = gold[f"{prefix}/{key}"]
                np.testing.assert_allclose(
                    found[key], expected, rtol=1e-9, atol=1e-12, err_msg=f"{prefix}/{key}"
                )
                checked += 1
    return checked


def named_loss(path):
    """The loss of a name in the file: `linear/top1`, `elu-0.5/bpr-max/bpreg1.0`."""
    activation, name, *strength = path.split("/")
    loss = {"xe": cross_entropy, "bpr": bpr, "top1": top1, "top1-max": top1_max, "bpr-max": bpr_max}[name]
    if strength:
        loss = functools.partial(loss, regularisation=float(strength[0].removeprefix("bpreg")))
    return lambda r, i: loss(activate(r, activation), i)


@pytest.mark.parametrize("columns", ["inbatch", "extra"])
def test_every_reference_loss_and_gradient(shared, columns):
    gold = golden(shared)
    prefixes = [
        key.removesuffix("/grad") for key in gold if key.startswith(f"rl/{columns}/") and "/grad" in key
    ]
    losses = {p: named_loss(p.split("/", 2)[2]) for p in prefixes if "logq" not in p}
    assert check_against(gold, losses) == 39


def test_reference_log_q_correction_and_label_smoothing(shared):
    gold = golden(shared)

    def corrected(r, i, strength, alpha):
        log_q = ranking.column_log_q(jnp.asarray(gold["rl/pop"]), 16, alpha)
        return cross_entropy(ranking.correct_log_q(r, log_q, strength), i)

    losses = {
        f"rl/extra/xe_logq{strength}_alpha{alpha}": functools.partial(
            corrected, strength=strength, alpha=alpha
        )
        for strength in (0.5, 1.0)
        for alpha in (0.0, 0.5, 1.0)
    }
    assert check_against(gold, {**losses, "rl/extra/xe_smooth0.1": LOSSES["xe, smooth"]}) == 13


def test_other_reference_forms(shared):
    gold = golden(shared)
    with jax.enable_x64(True):
        scores, target = jnp.asarray(gold["rl/scores"]), jnp.arange(16)
        for name, n in (("inbatch", 16), ("extra", 48)):
            ours = jax.jit(negative_softmax)(scores[:, :n], target)
            np.testing.assert_allclose(ours, gold[f"rl/{name}/softmax_neg"], rtol=1e-9, atol=1e-15)
        for loss in (bpr, top1):
            expected = gold[f"rl/extra/paper_{loss.__name__}_mean_over_negatives"]
            np.testing.assert_allclose(loss(scores, target, reduction="paper"), expected, rtol=1e-9)


# What holds for any scores.


@jax.jit
def every_loss_and_gradient(scores, target, where):
    """{name: (rows, gradient of their sum)}, in one program."""

    def both(loss):
        rows, pull = jax.vjp(lambda r: loss(r, target, where), scores)
        return rows, pull(jnp.ones(len(scores)))[0]

    return {name: both(loss) for name, loss in LOSSES.items()}


def random_rows(seed):
    rng = np.random.default_rng(seed)
    return jnp.asarray(3 * rng.standard_normal((B, N)), jnp.float32), rng


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_order_of_the_columns_does_not_matter(seed):
    """Neither that of the negatives nor where the target stands: values stay, gradients move along."""
    scores, rng = random_rows(seed)
    order, whole = rng.permutation(N), jnp.ones((1, N), bool)
    moved = every_loss_and_gradient(scores[:, order], jnp.asarray(np.argsort(order))[TARGET], whole)
    for name, (rows, slope) in every_loss_and_gradient(scores, TARGET, whole).items():
        np.testing.assert_allclose(moved[name][0], rows, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(moved[name][1], slope[:, order], rtol=1e-4, atol=1e-5, err_msg=name)


@settings(max_examples=10)
@given(st.integers(0, 2**16), st.floats(-3, 3))
def test_a_shift_of_all_scores(seed, shift):
    """BPR and cross-entropy know differences alone; TOP1 and the regularised BPR-max hold scores near 0."""
    scores, _ = random_rows(seed)
    for loss in (cross_entropy, bpr, bpr_max):
        shifted = loss(scores + shift, TARGET)
        np.testing.assert_allclose(shifted, loss(scores, TARGET), rtol=1e-4, atol=1e-5)
    difference = top1(scores + shift, TARGET) - top1(scores, TARGET)
    squares = jax.nn.sigmoid((scores + shift) ** 2) - jax.nn.sigmoid(scores**2)
    negative = jnp.arange(N)[None] != TARGET[:, None]
    np.testing.assert_allclose(difference, jnp.sum(squares * negative, 1) / N, atol=1e-5)


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_columns_that_do_not_exist_change_nothing(seed):
    """The values are those of the other columns alone, the gradients too, whatever stands in them."""
    scores, rng = random_rows(seed)
    keep = np.sort(rng.permutation(N)[: N // 2])
    own = rng.integers(0, len(keep), B)
    mask, target = jnp.asarray(np.isin(np.arange(N), keep)[None]), jnp.asarray(keep[own])
    spoiled = jnp.where(mask, scores, jnp.asarray(rng.choice([0, 1e4, -1e4], (B, N)), jnp.float32))
    found, other = (every_loss_and_gradient(s, target, mask) for s in (scores, spoiled))
    for name, (rows, slope) in found.items():
        expected = [by_loop(name, np.float64(r)[keep], i) for r, i in zip(scores, own, strict=True)]
        np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(slope[:, ~mask[0]], 0, err_msg=name)
        chex.assert_trees_all_close(other[name], (rows, slope), rtol=1e-5, atol=1e-7)


def test_rows_without_negatives_teach_nothing():
    """Values are finite and gradients 0 where a mask leaves the target alone."""
    alone = jnp.arange(N)[None] == 4
    for name, (rows, slope) in every_loss_and_gradient(1e4 * SCORES, jnp.full(B, 4), alone).items():
        assert np.all(np.isfinite(rows)), name
        np.testing.assert_allclose(slope, 0, atol=1e-7, err_msg=name)


# Gradients.


def test_derivatives():
    every = jax.jit(lambda r: [loss(r, TARGET) for loss in LOSSES.values()])
    check_grads(lambda r: every(jnp.asarray(r)), (SCORES,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_gradients_of_the_papers():
    """dBPR/dr_i = -mean_j (1 - sigma(r_i - r_j)); dBPR-max/dr_i = -sum_j w_j s_j (1 - s_j) / sum_j w_j s_j."""
    found = every_loss_and_gradient(SCORES, TARGET, jnp.ones((1, N), bool))
    for b, i in enumerate(TARGET):
        r = np.float64(SCORES[b])
        others = np.delete(r, i)
        s, w = sigma(r[i] - others), np.exp(others) / np.exp(others).sum()
        np.testing.assert_allclose(found["bpr, paper"][1][b, i], -np.mean(1 - s), rtol=1e-5)
        expected = -np.sum(w * s * (1 - s)) / np.sum(w * s)
        np.testing.assert_allclose(found["bpr-max, plain"][1][b, i], expected, rtol=1e-5)


def test_gradients_of_the_max_losses_do_not_vanish_with_many_negatives():
    """One negative above the target among ever more far below it: the mean forgets it, the -max losses don't."""
    row = jnp.asarray([[0.0, 1.0, *[-20.0] * 10_000]])
    few, many = (
        {name: abs(float(slope[0, 0])) for name, (_, slope) in found.items()}
        for found in (
            every_loss_and_gradient(row, jnp.zeros(1, int), (jnp.arange(10_002) < width)[None])
            for width in (2, 10_002)
        )
    )
    for name in ("bpr, paper", "top1, paper"):
        assert many[name] < 1.1e-4 * few[name]
    for name in ("xe", "top1-max", "bpr-max, plain"):
        np.testing.assert_allclose(many[name], few[name], rtol=1e-3, err_msg=name)


def test_scores_of_ten_thousand():
    """Finite, with the value of the equation: about 2e4 for a target that is last by 2e4, and a slope of -1."""
    three = [[1e4, -1e4, -1e4], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4], [0.0, 0.0, 1e4]]
    rows = jnp.zeros((B, N)).at[:, :3].set(jnp.asarray(three))
    found = every_loss_and_gradient(rows, jnp.zeros(B, int), (jnp.arange(N) < 3)[None])
    chex.assert_tree_all_finite(found)
    np.testing.assert_allclose(found["xe"][0][1], 2e4, rtol=1e-6)
    np.testing.assert_allclose(found["bpr"][0][1], 3e4 + np.log(2), rtol=1e-6)
    # Both negatives count the same: weight 1 of sigma(-2e4), and weight exp(-1e4) of sigma(-1e4).
    np.testing.assert_allclose(found["bpr-max, plain"][0][1], 2e4 - np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found["bpr-max"][0][1], 2e4 + 0.5e8, rtol=1e-6)
    for name in ("xe", "bpr-max"):
        np.testing.assert_allclose(found[name][1][1, 0], -1, rtol=1e-5)


# Pairs, activations, choices.


def test_pairs():
    positive, negative = SCORES[:, 0], SCORES[:, 1]
    np.testing.assert_allclose(
        bpr_pairs(positive, negative), -np.log(sigma(np.float64(positive - negative))), rtol=1e-5
    )
    np.testing.assert_allclose(bpr_pairs(jnp.asarray([-1e4, 1e4]), jnp.asarray([1e4, -1e4])), [2e4, 0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [-2, 0, 3]),
        ("relu", [0, 0, 3]),
        ("tanh", np.tanh([-2, 0, 3])),
        ("leaky-0.2", [-0.4, 0, 3]),
        ("elu-0.5", [0.5 * np.expm1(-2), 0, 3]),
        ("selu-1.05-1.67", [1.05 * 1.67 * np.expm1(-2), 0, 3.15]),
    ],
)
def test_activations(name, expected):
    scores = jnp.asarray([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(activate(scores, name), expected, rtol=1e-6)
    chex.assert_tree_all_finite(jax.grad(lambda r: activate(r, name).sum())(1e4 * scores))


@pytest.mark.parametrize("name", ["gelu", "elu", "elu-x", "elu-nan", "tanh-1", "selu-1.0", ""])
def test_unknown_activations(name):
    with pytest.raises(ValueError, match="choose linear"):
        activate(SCORES, name)


@pytest.mark.parametrize("loss", [bpr, top1])
def test_unknown_reductions(loss):
    with pytest.raises(Exception, match="sum"):
        loss(SCORES, TARGET, reduction="sum")
