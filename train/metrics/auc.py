"""AUC of held-out items: how many of the items that a user never met score below the one that was kept back.

The protocol of Rendle et al. (2009) and He and McAuley (2016): for user u and held-out item i
  AUC(u, i) = |{j : x_uj < x_ui}| / |{j}|,   j any item without a record of u in training, validation or test,
a mean over the user's held-out items and then over users. A tie counts nothing: equal scores of items that a model
knows nothing of are not a success. `ties="half"` counts them half, as the area under the ROC curve does.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Ties = Literal["strict", "half"]
COLD = 5
"""An item with fewer training records is cold."""


def held_out_auc(
    scores: Float[Array, "b items"],
    held: Int[Array, "b k"],
    known: Bool[Array, "b items"],
    ties: Ties = "strict",
) -> Float[Array, "b k"]:
    """AUC of each held-out item; one pass over the scores for each of the k columns.

    Args:
      scores: of every item for each user.
      held: held-out items of each user; an id outside [0, items) is padding.
      known: the items with any record of the user, held-out ones included: they are not negatives.
      ties: `strict` counts only negatives that score lower; `half` adds one half of those that score equal.

    Returns:
      Values in [0, 1]; NaN for padding, and for users without negatives.
    """
    items = scores.shape[1]
    real = (held >= 0) & (held < items)
    negatives = ~known

    def one(x_i: Float[Array, " b"]) -> Float[Array, " b"]:
        won = jnp.sum(negatives & (scores < x_i[:, None]), axis=1).astype(jnp.float32)
        if ties == "half":
            won += jnp.sum(negatives & (scores == x_i[:, None]), axis=1) / 2
        return won

    x = jnp.take_along_axis(scores, jnp.clip(held, 0, items - 1), axis=1)
    count = negatives.sum(axis=1)[:, None]
    auc = jax.lax.map(one, x.T).T / jnp.maximum(count, 1)
    return jnp.where(real & (count > 0), auc, jnp.nan)


def in_blocks(
    rows: Callable[[Int[Array, " b"]], tuple[Float[Array, "b items"], Bool[Array, "b items"]]],
    held: Int[Array, "users k"],
    ties: Ties = "strict",
    block: int = 256,
) -> Float[Array, "users k"]:
    """`held_out_auc` of many users, a block of them at a time; never more than block x items scores exist.

    Args:
      rows: scores and known items of a block of users.
      held: held-out items of all users.
      ties: as in `held_out_auc`.
      block: users at a time.
    """
    users = len(held)
    blocks = -(-users // block)
    index = jnp.minimum(jnp.arange(blocks * block), users - 1).reshape(blocks, block)

    def one(user: Int[Array, " b"]) -> Float[Array, "b k"]:
        scores, known = rows(user)
        return held_out_auc(scores, held[user], known, ties)

    return jax.lax.map(one, index).reshape(blocks * block, -1)[:users]


def per_user(values: Float[Array, "*n k"]) -> Float[Array, "*n"]:
    """The mean over a user's held-out items, NaN where all are."""
    there = ~jnp.isnan(values)
    total = jnp.sum(jnp.where(there, values, 0), axis=-1)
    return jnp.where(there.any(axis=-1), total / jnp.maximum(there.sum(axis=-1), 1), jnp.nan)


def of_cold_items(
    values: Float[Array, "*n users k"],
    held: Int[Array, "users k"],
    clicks: Int[Array, " items"],
    below: int = COLD,
) -> Float[Array, "*n users k"]:
    """The values of held-out items with fewer than `below` training clicks, NaN elsewhere."""
    cold = clicks.at[held].get(mode="fill", fill_value=below) < below
    return jnp.where(cold, values, jnp.nan)
