"""What aligns the VAEs of several modalities in one latent space: CADA-VAE (Schoenfeld et al., CVPR 2019).

Every modality i has an encoder E_i and a decoder D_i; z_i is a sample of E_i(x_i), and all modalities of an example
describe the same thing. Values are per example.
"""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from objectives.distances import safe_sqrt
from objectives.elbo import absolute_error, squared_error

Criterion = Literal["l1", "l2"]
Pairs = Literal["unordered", "ordered"]


def wasserstein_gaussian(
    mu1: Float[Array, "b l"],
    logvar1: Float[Array, "b l"],
    mu2: Float[Array, "b l"],
    logvar2: Float[Array, "b l"],
) -> Float[Array, " b"]:
    """2-Wasserstein distance of N(mu1, diag exp(logvar1)) and N(mu2, diag exp(logvar2)); gradient 0 where equal.

    W2^2 = ||mu1 - mu2||^2 + ||sigma1 - sigma2||^2, with sigma = exp(logvar / 2).
    """
    means = jnp.sum((mu1 - mu2) ** 2, axis=-1)
    deviations = jnp.sum((jnp.exp(logvar1 / 2) - jnp.exp(logvar2 / 2)) ** 2, axis=-1)
    return safe_sqrt(means + deviations)


def reconstruction_error(
    x: Float[Array, "b ..."], reconstruction: Float[Array, "b ..."], criterion: Criterion
) -> Float[Array, " b"]:
    """l1: ||x - x^||_1, in the paper and the default of the official code; l2: ||x - x^||_2^2."""
    match criterion:
        case "l1":
            return absolute_error(x, reconstruction)
        case "l2":
            return 2 * squared_error(x, reconstruction)
    raise ValueError(f"criterion {criterion!r} is unknown: choose l1 or l2")


def self_reconstruction(
    x: Sequence[Float[Array, "b _"]], decoded: Sequence[Float[Array, "m b _"]], criterion: Criterion = "l1"
) -> Float[Array, " b"]:
    """R = sum_j |x_j - D_j(z_j)|, where decoded[j][i] is D_j(z_i)."""
    errors = (reconstruction_error(x[j], decoded[j][j], criterion) for j in range(len(x)))
    return sum(errors, jnp.zeros(()))


def cross_alignment(
    x: Sequence[Float[Array, "b _"]], decoded: Sequence[Float[Array, "m b _"]], criterion: Criterion = "l1"
) -> Float[Array, " b"]:
    """L_CA = sum_{i != j} |x_j - D_j(z_i)|, where decoded[j][i] is D_j(z_i): each decoder on every other code."""
    pairs = permutations(range(len(x)), 2)
    errors = (reconstruction_error(x[j], decoded[j][i], criterion) for i, j in pairs)
    return sum(errors, jnp.zeros(()))


def distribution_alignment(
    posteriors: Sequence[tuple[Float[Array, "b l"], Float[Array, "b l"]]], pairs: Pairs = "unordered"
) -> Float[Array, " b"]:
    """L_DA = sum of W2(E_i(x_i), E_j(x_j)) over pairs of modalities.

    Args:
      posteriors: (mu, logvar) of each modality.
      pairs: `unordered` counts a pair once, as the official code and its published weight do; `ordered` counts
        (i, j) and (j, i), as the paper's sum over i != j.

    Raises:
      ValueError: pairs is neither.
    """
    if pairs not in ("unordered", "ordered"):
        raise ValueError(f"pairs {pairs!r} are unknown: choose unordered or ordered")
    choose = combinations if pairs == "unordered" else permutations
    distances = (wasserstein_gaussian(*one, *other) for one, other in choose(posteriors, 2))
    return sum(distances, jnp.zeros(()))


def ramp(epoch: Int[Array, ""] | int, start: int, end: int, factor: float) -> Float[Array, ""]:
    """The weight of a term in an epoch: 0 up to `start`, then linear, `factor` from `end` on; epochs count from 0."""
    return jnp.clip(factor * (epoch - start) / (end - start), 0.0, factor)
