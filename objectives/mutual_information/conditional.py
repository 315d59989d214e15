"""Log densities of a conditional q(y|x), in nats: per pair, as scores of all pairs, and the losses that train q."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def gaussian_log_density(
    y: Float[Array, "k d"], mu: Float[Array, "k d"], logvar: Float[Array, "k d"]
) -> Float[Array, " k"]:
    """log N(y_i; mu_i, diag exp(logvar_i)) per example."""
    return -0.5 * (gaussian_learning_loss(y, mu, logvar) + y.shape[-1] * math.log(2 * math.pi))


def gaussian_scores(
    y: Float[Array, "r d"], mu: Float[Array, "k d"], logvar: Float[Array, "k d"]
) -> Float[Array, "r k"]:
    """log N(y_i; mu_j, diag exp(logvar_j)) of all pairs: rows y, columns x.

    From differences, not from a product of matrices: with a narrow q its squares would cancel. One dimension after
    the other, computed again in the gradient, so that memory holds [r, k] and never [r, k, d].
    """

    @jax.checkpoint
    def of_dimension(y: jax.Array, mu: jax.Array, logvar: jax.Array) -> jax.Array:
        return (y[:, None] - mu[None]) ** 2 * jnp.exp(-logvar)[None] + logvar[None]

    def add(total: jax.Array, dimension: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        return total + of_dimension(*dimension), None

    empty = jnp.zeros((len(y), len(mu)), jnp.result_type(y, mu, logvar))
    total, _ = jax.lax.scan(add, empty, (y.T, mu.T, logvar.T))
    return -0.5 * (total + y.shape[-1] * math.log(2 * math.pi))


def gaussian_learning_loss(
    y: Float[Array, "k d"], mu: Float[Array, "k d"], logvar: Float[Array, "k d"]
) -> Float[Array, " k"]:
    """sum_d (mu - y)^2 e^-logvar + logvar per example: -2 log q(y_i|x_i) up to a constant.

    The scale of CLUB's code (`learning_loss`), on which its learning rates are published; the paper's
    log-likelihood is `gaussian_log_density`. CLUBMean is logvar = 0.
    """
    return jnp.sum((mu - y) ** 2 * jnp.exp(-logvar) + logvar, axis=-1)


def categorical_scores(labels: Int[Array, " r"], logits: Float[Array, "k c"]) -> Float[Array, "r k"]:
    """log q(y_i|x_j) of all pairs for class labels y and the logits of q(y|x): rows y, columns x.

    q learns by `optax.softmax_cross_entropy_with_integer_labels` (CLUBForCategorical).
    """
    return jax.nn.log_softmax(logits)[:, labels].T
