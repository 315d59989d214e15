"""Total correlation TC(z) = KL(q(z) || prod_j q(z_j)) by a learned density ratio (Kim & Mnih, ICML 2018).

A discriminator gives log-probabilities [b, 2] of codes to be joint, "0", or permuted, "1". With codes of either kind
as probable, their difference is the log of the ratio of densities q(z) / prod_j q(z_j) where it is optimal.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_density_ratio(log_probability: Float[Array, "b 2"]) -> Float[Array, " b"]:
    """log D_0(z) - log D_1(z) per example, in nats: its mean over q(z) estimates TC (eq. 3)."""
    return log_probability[:, 0] - log_probability[:, 1]


def discrimination(joint: Float[Array, "b 2"], permuted: Float[Array, "b 2"]) -> Float[Array, " b"]:
    """-log D_0(z) - log D_1(z') per pair of a code and a permuted one: twice the paper's, as coded, which Adam
    does not feel."""
    return -(joint[:, 0] + permuted[:, 1])


def permute_dims(z: Float[Array, "b l"], uniform: Float[Array, "b l"]) -> Float[Array, "b l"]:
    """Codes whose dimensions come from different examples, as if from prod_j q(z_j): a function of the set.

    Column j of the result is column j of z in the order of `uniform[:, j]`, random numbers (Algorithm 1).
    """
    return jnp.take_along_axis(z, jnp.argsort(uniform, axis=0), axis=0)
