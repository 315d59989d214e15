"""The evidence lower bound and its beta schedules."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BetaSchedule = Literal["constant", "linear", "cyclical"]


def squared_error(x: Float[Array, "b ..."], reconstruction: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """1/2 ||x - x^||^2 per example: minus the log density of N(x^, I) without its constant, in nats."""
    return 0.5 * jnp.sum((x - reconstruction).reshape(len(x), -1) ** 2, axis=-1)


def absolute_error(x: Float[Array, "b ..."], reconstruction: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """||x - x^||_1 per example: minus the log density of Laplace(x^, 1) without its constant, in nats."""
    return jnp.sum(jnp.abs(x - reconstruction).reshape(len(x), -1), axis=-1)


def kl_standard_normal(mu: Float[Array, "b l"], logvar: Float[Array, "b l"]) -> Float[Array, " b"]:
    """KL(N(mu, diag exp(logvar)) || N(0, I)) = 1/2 sum_j (mu^2 + e^s - s - 1) per example, in nats."""
    return 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - logvar - 1, axis=-1)


def negative_entropy(logvar: Float[Array, "b l"]) -> Float[Array, " b"]:
    """-sum_j s_j per example: minus twice the entropy of N(., diag exp(s)), up to a constant (L_H of GWAE)."""
    # L times the mean: XLA would merge a plain sum with the mean over the batch that follows it into one long
    # sequential float32 sum, ten times less exact.
    return -logvar.shape[-1] * jnp.mean(logvar, axis=-1)


def negative_elbo(
    reconstruction: Float[Array, " b"], kl: Float[Array, " b"], beta: Float[Array, ""] | float = 1.0
) -> Float[Array, " b"]:
    """-ELBO_beta = R + beta KL per example (Kingma & Welling 2014, eq. 3; Higgins et al. 2017, eq. 4)."""
    return reconstruction + beta * kl


def beta_at(
    step: Int[Array, ""] | int, schedule: BetaSchedule, beta: float, steps: int, cycles: int = 4
) -> Float[Array, ""]:
    """The weight of the KL at a step, 0-based.

    Args:
      step: updates done so far.
      schedule: `constant`; `linear` from 0 to beta over `steps`, then constant (Bowman et al. 2016); `cyclical`,
        `cycles` ramps over `steps`, each rising to beta in its first half and staying there in its second, then
        constant (Fu et al. 2019).
      beta: the final weight.
      steps: length of the schedule in updates.
      cycles: number of ramps of `cyclical`.
    """
    progress = jnp.minimum(jnp.asarray(step, jnp.float32) / steps, 1.0)
    match schedule:
        case "constant":
            ramp = jnp.ones(())
        case "linear":
            ramp = progress
        case "cyclical":
            ramp = jnp.where(progress < 1, jnp.minimum(2 * ((cycles * progress) % 1.0), 1.0), 1.0)
        case _:
            raise ValueError(f"schedule {schedule!r} is unknown: choose constant, linear or cyclical")
    return beta * ramp
