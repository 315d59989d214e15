"""Estimators of mutual information that are maximised: lower bounds, but for DV, MINE, SMILE and UBA's plug-in.

`scores` are [k, k] with rows y and columns x, or `ScoreBlocks`. Values are in nats. All but `barber_agakov` are
functions of the whole batch and return a scalar; those over pairs off the diagonal raise ValueError for a batch
of one. Bounds without a paper of their own are those of section 2 of Poole et al., ICML 2019.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from objectives.mutual_information.rows import (
    Pairs,
    Scores,
    at_own,
    joint_and_log_partition,
    log_mean_exp,
    log_partition,
    marginal_count,
    marginal_mean,
    over_rows,
)


def barber_agakov(log_q: Float[Array, " k"], entropy: Float[Array, ""] | float = 0.0) -> Float[Array, " k"]:
    """I_BA = H(X) + log q(x_i|y_i) per example (Barber & Agakov 2003).

    A lower bound in expectation for every q, tight at q = p(x|y). Where the entropy H(X) is unknown its place is
    left at 0, and the rest is still what to maximise.
    """
    return entropy + log_q


def tuba(
    scores: Scores, log_baseline: Float[Array, " k"] | Float[Array, ""] | float, pairs: Pairs = "off-diagonal"
) -> Float[Array, ""]:
    """I_TUBA = 1 + E[f(x,y) - log a(y)] - E_{p(x)p(y)}[exp f(x,y) / a(y)].

    A lower bound in expectation for every f and a, tight at f = log p(y|x), a = p(y). Adding c to scores and
    log_baseline alike changes nothing. Unbounded below: -inf where an exponent exceeds 88 in float32, its gradient
    then infinite but not NaN.

    Args:
      scores: f.
      log_baseline: log a(y_i), or one number.
      pairs: `all` lets the joint pairs count among the marginal ones, as CLUB's code does: biased low.
    """

    def of_row(s: jax.Array, own: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Masked before the exponential: an overflow at the joint pair would leave NaN in the gradient.
        exponent = s - b if pairs == "all" else jnp.where(own, -jnp.inf, s - b)
        return at_own(s, own) - b, jnp.sum(jnp.exp(exponent)) / marginal_count(len(s), pairs)

    joint, marginal = over_rows(of_row, scores, jnp.broadcast_to(log_baseline, (len(scores),)))
    return 1 + jnp.mean(joint) - jnp.mean(marginal)


def nwj(scores: Scores, pairs: Pairs = "off-diagonal") -> Float[Array, ""]:
    """I_NWJ = E[f(x,y)] - 1/e E_{p(x)p(y)}[exp f(x,y)] (Nguyen, Wainwright & Jordan 2010; MINE-f): TUBA, a = e.

    A lower bound in expectation for every f, tight at f = 1 + log p(x,y)/p(x)p(y). Its variance grows as e^I.
    """
    return tuba(scores, 1.0, pairs)


def uba(scores: Scores) -> Float[Array, ""]:
    """Plug-in of I_UBA = E[f(x,y)] - E_y[log Z(y)], Z(y) = E_{p(x)} exp f(x,y).

    I_UBA is a lower bound for every f; with Z estimated from K - 1 samples the value is biased upwards and is
    neither bound. For teaching and tests; at f = log p(y|x) it is `upper.leave_one_out`.
    """
    joint, log_z = joint_and_log_partition(scores)
    return jnp.mean(joint - log_z)


def dv(scores: Scores, pairs: Pairs = "off-diagonal") -> Float[Array, ""]:
    """I_DV = E[f(x,y)] - log E_{p(x)p(y)}[exp f(x,y)] (Donsker & Varadhan 1983).

    A lower bound for every f, tight at f = log p(x,y)/p(x)p(y) + c; estimated on a batch the logarithm of a sample
    mean biases it upwards, so that the value is neither bound. Adding c to the scores changes nothing.
    """
    joint, log_z = joint_and_log_partition(scores, pairs)
    return jnp.mean(joint) - log_mean_exp(log_z)


def dv_sampled(joint: Float[Array, " k"], marginal: Float[Array, " m"]) -> Float[Array, ""]:
    """I_DV from k scores of joint samples and m of marginal ones: what CLUB's code calls MINE.

    There marginal[i] = f(x_i, y_{r_i}) with r_i uniform over the batch, which may be i. Neither bound, as `dv`.
    """
    return jnp.mean(joint) - log_mean_exp(marginal)


def mine(
    scores: Scores, log_ema: Float[Array, ""] | float, rate: float = 0.01
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """I_DV with the bias-corrected gradient of MINE (Belghazi et al., ICML 2018, section 3.2), and the new log_ema.

    Value of `dv`; gradient of E[f] - E[exp f] / ema, where ema_t = (1 - rate) ema_{t-1} + rate E[exp f] takes the
    place of the batch mean in the denominator. Carried as a logarithm, which no score overflows.

    Args:
      scores: f.
      log_ema: logarithm of the moving average so far; -inf before the first batch, whose mean is then taken.
      rate: weight of the new batch; 0 keeps the average as it is.
    """
    joint, log_z = joint_and_log_partition(scores)
    log_mean = log_mean_exp(log_z)
    moved = jnp.logaddexp(jnp.log1p(-rate) + log_ema, jnp.log(rate) + log_mean)
    log_ema = jax.lax.stop_gradient(jnp.where(jnp.isneginf(log_ema), log_mean, moved))
    objective = jnp.mean(joint) - jnp.exp(log_mean - log_ema)
    return with_value(objective, jnp.mean(joint) - log_mean), log_ema


def js_objective(scores: Scores) -> Float[Array, ""]:
    """E[-softplus(-f(x,y))] - E_{p(x)p(y)}[softplus(f(x,y))] (Nowozin et al. 2016; Hjelm et al. 2019).

    A training objective, not an estimate of mutual information. Its maximum is twice the Jensen-Shannon divergence
    of p(x,y) and p(x)p(y) less log 4, at the log ratio f = log p(x,y)/p(x)p(y).
    """

    def of_row(s: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.nn.softplus(-at_own(s, own)), marginal_mean(jax.nn.softplus(s), own, "off-diagonal")

    joint, marginal = over_rows(of_row, scores)
    return -jnp.mean(joint) - jnp.mean(marginal)


def js(scores: Scores, shift: float = 1.0) -> Float[Array, ""]:
    """Value of I_NWJ at f + shift, gradient of `js_objective`.

    A lower bound in expectation for every f. The critic that the objective trains approaches the log ratio, and
    NWJ is tight at one more: shift 1, the paper's. The notebook of the paper adds nothing: shift 0, at best 1/e
    nats below the truth.
    """
    return with_value(js_objective(scores), tuba(scores, 1.0 - shift))


def smile(scores: Scores, clip: float) -> Float[Array, ""]:
    """I_SMILE = E[f] - log E_{p(x)p(y)}[exp clip(f, -c, c)], gradient of `js_objective` (Song & Ermon, ICLR 2020).

    Not a bound: clipping trades the variance of the logarithm's argument for a bias upwards. clip=inf is `dv`.
    """

    def of_row(s: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
        return at_own(s, own), log_partition(jnp.clip(s, -clip, clip), own, "off-diagonal")

    joint, log_z = over_rows(of_row, scores)
    return with_value(js_objective(scores), jnp.mean(joint) - log_mean_exp(log_z))


def infonce(scores: Scores) -> Float[Array, ""]:
    """I_NCE = log K + 1/K sum_i log(exp f(x_i, y_i) / sum_j exp f(x_j, y_i)) (van den Oord et al. 2018).

    A lower bound in expectation for every f, and never above log K. With f = log p(y|x) it is the bound for a
    tractable conditional (TNCE), not improvable by training. Adding c(y) to a row changes nothing. CLUB's code has
    the softplus of its critic as scores.
    """
    joint, log_sum = over_rows(lambda s, own: (at_own(s, own), jax.nn.logsumexp(s)), scores)
    return math.log(len(scores)) + jnp.mean(joint - log_sum)


def interpolated(
    scores: Scores,
    log_baseline: Float[Array, " k"] | Float[Array, ""] | float,
    alpha_logit: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """I_alpha = 1 + E[log e^f / B(y; x_1:K)] - E_{p(x)p(y)}[e^f / B], B = alpha m(y; x_1:K) + (1 - alpha) q(y).

    m is the mean of e^f over the batch but one: all j != i for the marginal term of row i, all l != j for the term
    of pair (i, j) of the joint one, averaged over j != i. A lower bound in expectation for every f, q and alpha;
    alpha -> 0 is `tuba` with a = q, alpha -> 1 contrasts as InfoNCE does (the paper's notebook says the
    reverse). The exponent of the marginal term is at most -log alpha, so that large scores are safe.

    Args:
      scores: f.
      log_baseline: log q(y_i), or one number.
      alpha_logit: logit of alpha; the notebook has -5, 0 and 5.
    """
    log_alpha, log_rest = jax.nn.log_sigmoid(alpha_logit), jax.nn.log_sigmoid(-alpha_logit)

    def of_row(s: jax.Array, own: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_m = log_mean_exp_of_others(s)
        log_mix = jnp.logaddexp(log_alpha + log_m, log_rest + b)
        joint = at_own(s, own) - marginal_mean(log_mix, own, "off-diagonal")
        return joint, at_own(log_m, own) - at_own(log_mix, own)

    joint, log_ratio = over_rows(of_row, scores, jnp.broadcast_to(log_baseline, (len(scores),)))
    return 1 + jnp.mean(joint) - jnp.mean(jnp.exp(log_ratio))


def log_mean_exp_of_others(s: Float[Array, " k"]) -> Float[Array, " k"]:
    """log 1/(k-1) sum_{l != j} exp s_l for every j, in k steps and not k^2.

    The sum less its own term, relative to the largest score: what is left contains that score and cannot cancel.
    Only the largest itself needs a sum of its own.
    """
    top = jnp.arange(len(s)) == jnp.argmax(s)
    largest = jax.lax.stop_gradient(jnp.max(s))
    below = jnp.where(top, -jnp.inf, s)
    terms = jnp.exp(below - largest)
    at_top = jnp.exp(at_own(s, top) - largest)
    others = jnp.log(at_top + jnp.sum(terms) - terms) + largest
    return jnp.where(top, jax.nn.logsumexp(below), others) - math.log(marginal_count(len(s), "off-diagonal"))


def with_value(objective: Float[Array, ""], value: Float[Array, ""]) -> Float[Array, ""]:
    """The gradient of one expression under the value of another."""
    return jax.lax.stop_gradient(value) + (objective - jax.lax.stop_gradient(objective))
