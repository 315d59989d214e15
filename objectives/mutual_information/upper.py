"""Estimators of mutual information that are minimised: upper bounds when the conditional density is the true one.

`scores` are log p(y_i|x_j), [k, k] with rows y and columns x, or `ScoreBlocks`; `conditional` has them for Gaussian
and categorical y. Values are in nats. With a learned q in the place of p(y|x) none is guaranteed to be a bound:
CLUB's published small bias comes from a q of seven hidden units that under-fits.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from objectives.elbo import kl_standard_normal
from objectives.mutual_information.conditional import gaussian_log_density
from objectives.mutual_information.rows import (
    Pairs,
    Scores,
    at_own,
    joint_and_log_partition,
    marginal_count,
    marginal_mean,
    over_rows,
)


def vub(mu: Float[Array, "k d"], logvar: Float[Array, "k d"]) -> Float[Array, " k"]:
    """I_VUB = KL(p(y|x_i) || N(0, I)) per example, the rate of a VAE (Alemi et al. 2017; Poole et al. 2019, 2.1).

    An upper bound in expectation when p(y|x) = N(mu, diag exp(logvar)); the gap is KL(p(y) || N(0, I)). CLUB's
    `VarUB` averages over dimensions where this sums: it is the mean of this divided by d, and no bound.
    """
    return kl_standard_normal(mu, logvar)


def vub_sampled(log_conditional: Float[Array, " k"], log_marginal: Float[Array, " k"]) -> Float[Array, " k"]:
    """I_VUB = log p(y_i|x_i) - log m(y_i) per example, for any marginal m: an upper bound in expectation."""
    return log_conditional - log_marginal


def leave_one_out(scores: Scores) -> Float[Array, ""]:
    """I_L1Out = 1/K sum_i [log p(y_i|x_i) - log 1/(K-1) sum_{j != i} p(y_i|x_j)] (Poole et al. 2019, 2.5).

    An upper bound in expectation for the true conditional. A function of the set: a scalar.

    Raises:
      ValueError: the batch has one pair.
    """
    joint, log_z = joint_and_log_partition(scores)
    return jnp.mean(joint - log_z)


def leave_one_out_coded(scores: Scores) -> Float[Array, ""]:
    """What CLUB's PyTorch `L1OutUB` computes: CLUB less log(1 + e^-20 / (K-1)), not the leave-one-out bound.

    Its mask of -20 has one axis too many, so that the logarithm of the sum runs over copies of a single score. For
    parity with the published curves of L1Out.

    Raises:
      ValueError: the batch has one pair.
    """
    others = marginal_count(len(scores), "off-diagonal")
    return club(scores) - math.log1p(math.exp(-20) / others)


def leave_one_out_masked(scores: Scores) -> Float[Array, ""]:
    """The leave-one-out bound as CLUB's TensorFlow code has it: the own score is lowered by 20, not removed.

    Below `leave_one_out` by the mean of log(1 + e^-20 p(y_i|x_i) / sum_{j != i} p(y_i|x_j)).

    Raises:
      ValueError: the batch has one pair.
    """
    others = marginal_count(len(scores), "off-diagonal")

    def of_row(s: jax.Array, own: jax.Array) -> jax.Array:
        return at_own(s, own) - (jax.nn.logsumexp(jnp.where(own, s - 20, s)) - math.log(others))

    return jnp.mean(over_rows(of_row, scores))


def club(scores: Scores, pairs: Pairs = "all") -> Float[Array, ""]:
    """I_CLUB = E_{p(x,y)}[log p(y|x)] - E_{p(x)p(y)}[log p(y|x)] (Cheng et al., ICML 2020, 3.1). A scalar.

    An upper bound in expectation for the true conditional over the pairs off the diagonal; the gap is
    KL(p(x)p(y) || p(x,y)), zero for independent variables only. Over all K^2 pairs, as in the paper and its
    code, the expectation is (K-1)/K of that.

    Raises:
      ValueError: `pairs` is `off-diagonal` and the batch has one pair.
    """
    joint, marginal = over_rows(lambda s, own: (at_own(s, own), marginal_mean(s, own, pairs)), scores)
    return jnp.mean(joint) - jnp.mean(marginal)


def vclub(y: Float[Array, "k d"], mu: Float[Array, "k d"], logvar: Float[Array, "k d"]) -> Float[Array, ""]:
    """I_vCLUB: `club` over all pairs with q(y|x_i) = N(mu_i, diag exp(logvar_i)), without the K^2 pairs. A scalar.

    The normaliser of q cancels, and the mean of (mu_i - y_j)^2 over j is (mu_i - mean y)^2 + var y: K d steps
    (Cheng et al. 2020, 3.2). With a learned q neither bound: above the truth only where
    KL(p(x,y) || q(y|x)p(x)) <= KL(p(x)p(y) || q(y|x)p(x)) (their theorem 3.2). CLUBMean of their code is
    logvar = 0.
    """
    mean, variance = jnp.mean(y, axis=0, keepdims=True), jnp.var(y, axis=0, keepdims=True)
    positive, negative = (mu - y) ** 2, (mu - mean) ** 2 + variance
    return 0.5 * jnp.mean(jnp.sum((negative - positive) * jnp.exp(-logvar), axis=-1))


def club_sampled(joint: Float[Array, " k"], marginal: Float[Array, " k"]) -> Float[Array, " k"]:
    """I_CLUB-S = log p(y_i|x_i) - log p(y_{k_i}|x_i) per example (Cheng et al. 2020, 3.3).

    Unbiased for `club` over all pairs when k_i comes from `negative_index`, at the cost of K pairs.
    """
    return joint - marginal


def vclub_sampled(
    y: Float[Array, "k d"],
    mu: Float[Array, "k d"],
    logvar: Float[Array, "k d"],
    index: Int[Array, " k"],
) -> Float[Array, " k"]:
    """I_vCLUB-S: `club_sampled` with q(y|x_i) = N(mu_i, diag exp(logvar_i)) and negatives y[index], per example.

    Unbiased for `vclub`, and no more of a bound.
    """
    return club_sampled(gaussian_log_density(y, mu, logvar), gaussian_log_density(y[index], mu, logvar))


def negative_index(
    key: jax.Array, size: int, draw: Literal["permutation", "uniform"] = "permutation"
) -> Int[Array, " k"]:
    """k_1..k_K, one negative for each pair of a batch; k_i may be i.

    `permutation` is the official code's and uses each y once; the paper draws each k_i uniformly. The expectation
    of `club_sampled` is the same.
    """
    if draw not in ("permutation", "uniform"):
        raise ValueError(f"draw {draw!r} is unknown: choose permutation or uniform")
    return (
        jax.random.permutation(key, size)
        if draw == "permutation"
        else jax.random.randint(key, (size,), 0, size)
    )
