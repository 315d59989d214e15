"""Maximum mean discrepancy."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def mmd(a: Float[Array, "n l"], b: Float[Array, "m l"]) -> Float[Array, ""]:
    """Biased (V-statistic) squared MMD between two samples, a function of the sets: a scalar.

    Kernel k(u, v) = exp(-||u - v||^2 / L^2) with L the dimension, as GWAE and its InfoVAE baseline code it.
    """

    def kernel(u: Float[Array, "n l"], v: Float[Array, "m l"]) -> Float[Array, "n m"]:
        squared = jnp.sum((u[:, None] - v[None]) ** 2, axis=-1)
        return jnp.exp(-squared / u.shape[-1] ** 2)

    return jnp.mean(kernel(a, a)) + jnp.mean(kernel(b, b)) - 2 * jnp.mean(kernel(a, b))
