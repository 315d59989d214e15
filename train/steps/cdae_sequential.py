"""The update of the official CDAE code: AdaGrad on one user, item by item, each seeing what the last one changed.

`train.steps.cdae` trains on batches of users instead; this is what the published results were made with.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmodels.cdae import activate
from objectives.pointwise import pointwise
from train.steps.cdae import CDAEConfig

Arrays = dict[str, Array]


def sequential_user_step(
    params: Arrays,
    accumulators: Arrays,
    user: Int[Array, ""],
    positives: Int[Array, " n"],
    kept: Bool[Array, " n"],
    negatives: Int[Array, " m"],
    config: CDAEConfig,
) -> tuple[Arrays, Arrays]:
    """(params, accumulators) after the update on one user.

    The output rows of clicks, then of negatives, are updated one after another, while the hidden layer z stays what
    it was; then biases, user node and the input rows of kept clicks. With tied weights a kept click's row is updated
    only once, in the end, with both its gradients. `l2` times a parameter is part of each of its gradients.

    Args:
      params: those of CDAE with a user node.
      accumulators: sums of squared gradients, shaped as the parameters; the official code starts them at 1e-4.
      user: which one.
      positives: the user's clicks, each once.
      kept: which of them the corruption left.
      negatives: sampled items, possibly some of them several times.
      config: hidden activation, loss, tying, mask-out probability, and the settings of AdaGrad.
    """
    p, a = dict(params), dict(accumulators)
    out = "inputs" if config.tied else "outputs"
    scale = (kept / max(1 - config.corruption_amount, 1e-12)).astype(p["inputs"].dtype)
    logits = scale @ p["inputs"][positives] + p["users"][user] + p["bias"]
    z, backward = jax.vjp(lambda logits: activate(logits, config.hidden), logits)

    def visit(carry: tuple, item: tuple) -> tuple[tuple, Float[Array, " k"]]:
        (rows, rows_a, biases, biases_a, z_gradient), (i, label, later) = carry, item
        gradient = jax.grad(lambda s: pointwise(s, label, config.loss))(rows[i] @ z + biases[i])
        z_gradient += gradient * rows[i]
        biases, biases_a = _descend(biases, biases_a, i, gradient, True, config)
        rows, rows_a = _descend(rows, rows_a, i, gradient * z, ~later, config)
        return (rows, rows_a, biases, biases_a, z_gradient), jnp.where(later, gradient * z, 0.0)

    items = jnp.concatenate([positives, negatives])
    labels = (jnp.arange(len(items)) < len(positives)).astype(z.dtype)
    later = jnp.concatenate([kept & config.tied, jnp.zeros(len(negatives), bool)])
    carry = (p[out], a[out], p["item_bias"], a["item_bias"], jnp.zeros_like(z))
    carry, postponed = jax.lax.scan(visit, carry, (items, labels, later))
    p[out], a[out], p["item_bias"], a["item_bias"], z_gradient = carry

    (gradient,) = backward(z_gradient)
    p["bias"], a["bias"] = _descend(p["bias"], a["bias"], ..., gradient, True, config)
    p["users"], a["users"] = _descend(p["users"], a["users"], user, gradient, True, config)
    gradient = scale[:, None] * gradient[None] + postponed[: len(positives)]
    p["inputs"], a["inputs"] = _descend(p["inputs"], a["inputs"], positives, gradient, kept[:, None], config)
    return p, a


def _descend(
    theta: Array, a: Array, where: Any, gradient: Array, wanted: Array | bool, config: CDAEConfig
) -> tuple[Array, Array]:
    """AdaGrad on some rows: a += g^2, theta -= lr g / (sqrt(a) + beta), with g the gradient + l2 theta."""
    gradient = jnp.where(wanted, gradient + config.l2 * theta[where], 0.0)
    a = a.at[where].add(gradient**2)
    step = config.learning_rate * gradient / (jnp.sqrt(a[where]) + config.adagrad_beta)
    return theta.at[where].add(-step), a
