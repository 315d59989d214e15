"""Losses that rank a target above other items: GRU4Rec, and BPR pairs.

Papers: Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based Recommendations with Recurrent Neural Networks", ICLR
2016 (BPR, TOP1); Hidasi and Karatzoglou, "Recurrent Neural Networks with Top-k Gains for Session-based
Recommendations", CIKM 2018 (cross-entropy, BPR-max, TOP1-max); Rendle et al., "BPR", UAI 2009.

Row b of `scores` [B, n] holds r_j of n items, column `target[b]` that of the item i which came; all others are
negatives, those of the same item too. Columns where `where` is False don't exist. Values are per row; the published
code sums them over the rows and divides by the nominal batch size. Sums of softmax weights are taken in log space,
without the 1e-24 that the official code adds inside its logarithms: values agree to about that number over the
probability, and rows at scores of +-1e4, which the code cuts off at -log 1e-24 = 55.3, keep their value and gradient.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Reduction = Literal["coded", "paper"]
"""Over the columns of BPR and TOP1. `coded`: as in the official code, with the target's own column, BPR a sum.
`paper`: the mean over the negatives."""
ACTIVATIONS = "linear, relu, tanh, leaky-A, elu-A or selu-L-A with numbers A and L"


def activation_parameters(name: str) -> tuple[str, tuple[float, ...]]:
    """The kind of an activation of scores and its parameters: "elu-0.5" is ("elu", (0.5,)).

    Raises:
      ValueError: there is no such activation.
    """
    kind, *parts = name.split("-")
    counts = {"linear": 0, "relu": 0, "tanh": 0, "leaky": 1, "elu": 1, "selu": 2}
    try:
        parameters = tuple(map(float, parts))
    except ValueError:
        parameters = (math.nan,)
    if counts.get(kind) != len(parameters) or not all(map(math.isfinite, parameters)):
        raise ValueError(f"activation {name!r} is unknown: choose {ACTIVATIONS}")
    return kind, parameters


def activate(scores: Float[Array, "*shape"], name: str) -> Float[Array, "*shape"]:
    """The final activation of raw scores, by name: linear, relu, tanh, leaky-a, elu-a, selu-l-a.

    Raises:
      ValueError: there is no such activation.
    """
    match activation_parameters(name):
        case "relu", _:
            return jax.nn.relu(scores)
        case "tanh", _:
            return jnp.tanh(scores)
        case "leaky", (a,):
            return jax.nn.leaky_relu(scores, a)
        case "elu", (a,):
            return jax.nn.elu(scores, a)
        case "selu", (scale, a):
            return scale * jax.nn.elu(scores, a)
    return scores


def column_log_q(support: Float[Array, " n"], in_batch: int, sample_alpha: float) -> Float[Array, " n"]:
    """log Q_j of each column: the support of its item, to the power of alpha behind the first `in_batch` columns.

    Args:
      support: events of the column's item in the training data.
      in_batch: columns that are targets of the batch; the others are additional samples.
      sample_alpha: the power of the support that those were drawn by.
    """
    power = jnp.where(jnp.arange(len(support)) < in_batch, 1.0, sample_alpha)
    return power * jnp.log(support)


def correct_log_q(
    scores: Float[Array, "b n"], log_q: Float[Array, " n"], strength: float = 1.0
) -> Float[Array, "b n"]:
    """r_j - strength log Q_j: undoes the bias of sampled columns towards popular items, for the cross-entropy."""
    return scores - strength * log_q[None]


def cross_entropy(
    scores: Float[Array, "b n"],
    target: Int[Array, " b"],
    where: Bool[Array, "#b n"] | None = None,
    smoothing: float = 0.0,
) -> Float[Array, " b"]:
    """-log softmax(r)_i; with label smoothing e, (1 - n/(n-1) e) of that and e/(n-1) sum_j -log softmax(r)_j."""
    valid, _ = _columns(scores, target, where)
    log_p = jax.nn.log_softmax(jnp.where(valid, scores, -jnp.inf))
    loss = -_own(log_p, target)[:, 0]
    if not smoothing:
        return loss
    n = jnp.sum(valid, axis=1)
    others = smoothing / jnp.maximum(n - 1, 1)
    return (1 - n * others) * loss - others * jnp.sum(jnp.where(valid, log_p, 0), axis=1)


def bpr(
    scores: Float[Array, "b n"],
    target: Int[Array, " b"],
    where: Bool[Array, "#b n"] | None = None,
    reduction: Reduction = "coded",
) -> Float[Array, " b"]:
    """-sum_j log sigma(r_i - r_j); `coded` counts j = i, a constant log 2, `paper` is the mean over negatives.

    Raises:
      ValueError: the reduction is neither.
    """
    pairs = jax.nn.softplus(scores - _own(scores, target))
    valid, negative = _columns(scores, target, where)
    if reduction == "coded":
        return jnp.sum(pairs, axis=1, where=valid)
    return _mean_over_negatives(pairs, negative, reduction)


def top1(
    scores: Float[Array, "b n"],
    target: Int[Array, " b"],
    where: Bool[Array, "#b n"] | None = None,
    reduction: Reduction = "coded",
) -> Float[Array, " b"]:
    """mean_j sigma(r_j - r_i) + sigma(r_j^2), over negatives.

    `coded` takes the mean over all columns and leaves out sigma(r_i^2) / n; the sigma(0) / n of i itself, a constant,
    stays.

    Raises:
      ValueError: the reduction is neither.
    """
    own = _own(scores, target)
    pairs = jax.nn.sigmoid(scores - own) + jax.nn.sigmoid(scores**2)
    valid, negative = _columns(scores, target, where)
    if reduction == "coded":
        own_square = jax.nn.sigmoid(own[:, 0] ** 2)
        return (jnp.sum(pairs, axis=1, where=valid) - own_square) / jnp.sum(valid, axis=1)
    return _mean_over_negatives(pairs, negative, reduction)


def negative_softmax(
    scores: Float[Array, "b n"], target: Int[Array, " b"], where: Bool[Array, "#b n"] | None = None
) -> Float[Array, "b n"]:
    """s_j = softmax of the scores of the negatives; 0 for the target, and everywhere in a row without negatives."""
    _, negative = _columns(scores, target, where)
    return jnp.where(negative, jnp.exp(_log_negative_softmax(scores, negative)), 0)


def top1_max(
    scores: Float[Array, "b n"], target: Int[Array, " b"], where: Bool[Array, "#b n"] | None = None
) -> Float[Array, " b"]:
    """sum_j s_j (sigma(r_j - r_i) + sigma(r_j^2)), s = softmax of the negatives, which gradients go through."""
    weights = negative_softmax(scores, target, where)
    pairs = jax.nn.sigmoid(scores - _own(scores, target)) + jax.nn.sigmoid(scores**2)
    return jnp.sum(weights * pairs, axis=1)


def bpr_max(
    scores: Float[Array, "b n"],
    target: Int[Array, " b"],
    where: Bool[Array, "#b n"] | None = None,
    regularisation: float = 0.0,
) -> Float[Array, " b"]:
    """-log sum_j s_j sigma(r_i - r_j) + lambda sum_j s_j r_j^2, s = softmax of the negatives; 0 without negatives."""
    _, negative = _columns(scores, target, where)
    log_terms = _log_negative_softmax(scores, negative) + jax.nn.log_sigmoid(_own(scores, target) - scores)
    some = jnp.any(negative, axis=1)
    # A row without negatives sums over all columns instead, so that its unused gradient is finite.
    summed = jax.nn.logsumexp(log_terms, axis=1, where=negative | ~some[:, None])
    ranking = jnp.where(some, -summed, 0)
    return ranking + regularisation * jnp.sum(negative_softmax(scores, target, where) * scores**2, axis=1)


def bpr_pairs(positive: Float[Array, " b"], negative: Float[Array, " b"]) -> Float[Array, " b"]:
    """-log sigma(positive - negative) = softplus(negative - positive), a pair of scores each (Rendle et al.)."""
    return jax.nn.softplus(negative - positive)


def _own(scores: Float[Array, "b n"], target: Int[Array, " b"]) -> Float[Array, "b 1"]:
    return jnp.take_along_axis(scores, target[:, None], axis=1)


def _columns(
    scores: Float[Array, "b n"], target: Int[Array, " b"], where: Bool[Array, "#b n"] | None
) -> tuple[Bool[Array, "b n"], Bool[Array, "b n"]]:
    """Which columns exist, the target's always, and which of them are negatives."""
    own = jnp.arange(scores.shape[1])[None] == target[:, None]
    valid = own | (jnp.ones_like(own) if where is None else where)
    return valid, valid & ~own


def _log_negative_softmax(scores: Float[Array, "b n"], negative: Bool[Array, "b n"]) -> Float[Array, "b n"]:
    """log s_j at negatives; other columns mean nothing, but are finite."""
    some = jnp.any(negative, axis=1, keepdims=True)
    log_sum = jax.nn.logsumexp(scores, axis=1, keepdims=True, where=negative | ~some)
    # At most 0 at negatives; cut there, since another column could overflow the exponential.
    return jnp.minimum(scores - log_sum, 0)


def _mean_over_negatives(
    pairs: Float[Array, "b n"], negative: Bool[Array, "b n"], reduction: Reduction
) -> Float[Array, " b"]:
    if reduction != "paper":
        raise ValueError(f"reduction {reduction!r} is unknown: choose coded or paper")
    count = jnp.maximum(jnp.sum(negative, axis=1), 1)
    return jnp.sum(pairs, axis=1, where=negative) / count
