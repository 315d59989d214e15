"""The Gromov-Wasserstein term of GWAE (Nakagawa et al., ICLR 2023)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from objectives.distances import pairwise_distance, safe_sqrt


def gromov_wasserstein(
    x: Float[Array, "b ..."], z: Float[Array, "b l"], scale: Float[Array, ""] | float, power: float = 1.0
) -> Float[Array, ""]:
    """L_GW = 1/B^2 sum_{b,b'} | C ||z_b - z_b'|| - ||x_b - x_b'|| |^p, a function of the set: a scalar.

    The distortion between the metric of the codes and that of their decodings under the coupling that pairs
    each code with its decoding. Both metrics are Euclidean, over all axes but the first; all B^2 pairs count,
    the zero diagonal included. The official code has p = 1.

    Args:
      x: decodings of z.
      z: codes drawn from the prior.
      scale: C, the unit of latent distances in image distances.
      power: outer exponent p.
    """
    distortion = jnp.abs(scale * pairwise_distance(z) - pairwise_distance(x))
    return jnp.mean(distortion if power == 1 else distortion**power)


def latent_scale(log_coefficient: Float[Array, ""], z: Float[Array, "b l"]) -> Float[Array, ""]:
    """C = exp(c) / sigma_z with sigma_z the mean over dimensions of the (unbiased) standard deviation of z.

    c is trainable; the gradient flows through sigma_z.
    """
    return jnp.exp(log_coefficient) / jnp.maximum(mean_std(z), 1e-8)


def mean_std(z: Float[Array, "b l"]) -> Float[Array, ""]:
    """Mean over dimensions of the unbiased standard deviation over the batch.

    A dimension in which the batch is constant has gradient zero.
    """
    return jnp.mean(safe_sqrt(jnp.var(z, axis=0, ddof=1)))
