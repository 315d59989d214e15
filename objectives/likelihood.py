"""Likelihoods of implicit feedback: rows of clicks given rows of logits (Liang et al., WWW 2018, section 2.2).

`logits` are f(z) and `x` the clicks, counts or zeros and ones, each [users, items]. Values are negative log
likelihoods per user, in nats, summed over the items (not their mean), without constants. Items for which `where` is
False, such as the padding of a catalogue that is divided over devices, take no part.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

LogNormaliser = Callable[[Float[Array, "b items"]], Float[Array, " b"]]


def multinomial(
    logits: Float[Array, "b items"],
    x: Float[Array, "b items"],
    log_normaliser: LogNormaliser | None = None,
) -> Float[Array, " b"]:
    """-sum_i x_i log softmax(f)_i (eq. 2): every click competes with all items.

    Args:
      logits: f.
      x: the clicks.
      log_normaliser: log sum_i exp f_i of every row; where the items are divided over devices, or where some are
        padding, one that knows.
    """
    normaliser = (log_normaliser or _log_normaliser)(logits)
    return -jnp.sum(x * (logits - normaliser[:, None]), axis=-1)


def gaussian(
    logits: Float[Array, "b items"],
    x: Float[Array, "b items"],
    *,
    positive: float,
    negative: float,
    where: Bool[Array, "#b items"] | None = None,
) -> Float[Array, " b"]:
    """sum_i c_i / 2 (x_i - f_i)^2 (eq. 3) with the confidence c_i `positive` where x_i > 0, `negative` elsewhere."""
    confidence = jnp.where(x > 0, positive, negative)
    return jnp.sum(confidence / 2 * (x - logits) ** 2, axis=-1, where=where)


def logistic(
    logits: Float[Array, "b items"],
    x: Float[Array, "b items"],
    where: Bool[Array, "#b items"] | None = None,
) -> Float[Array, " b"]:
    """-sum_i x_i log sigma(f_i) + (1 - x_i) log(1 - sigma(f_i)) (eq. 4)."""
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, x), axis=-1, where=where)


def _log_normaliser(logits: Float[Array, "b items"]) -> Float[Array, " b"]:
    return jax.nn.logsumexp(logits, axis=-1)
