"""Ranks of the next item of a session among all items (official evaluation of GRU4Rec), on device.

Recall@N is the share of predictions whose rank is at most N; MRR@N the mean of 1 / rank, 0 beyond N. Both are means
over events, not sessions, and no item is left out, not even those seen before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

Ties = Literal["standard", "conservative", "median"]
"""The rank among equal scores: the best, the worst, or the middle one. Conservative is the honest default: a model
whose scores saturate gains nothing."""
Carry = TypeVar("Carry", bound=PyTree)


def places(
    scores: Float[Array, "b items"], target: Int[Array, " b"]
) -> tuple[Int[Array, " b"], Int[Array, " b"]]:
    """(above, level): how many items score more than the target, and how many the same, the target counted.

    A score that is NaN, one's own or another's, counts as above.
    """
    own = jnp.take_along_axis(scores, target[:, None], axis=1)
    return jnp.sum(~(scores <= own), axis=1), jnp.sum(scores == own, axis=1)


def ranks(
    above: Int[Array, "*shape"], level: Int[Array, "*shape"], ties: Ties = "conservative"
) -> Float[Array, "*shape"]:
    """The rank from 1.

    Raises:
      ValueError: ties are not one of the three.
    """
    match ties:
        case "standard":
            rank = above + 1
        case "conservative":
            rank = above + jnp.maximum(level, 1)
        case "median":
            rank = above + 1 + (jnp.maximum(level, 1) - 1) / 2
        case _:
            raise ValueError(f"ties {ties!r} are unknown: choose standard, conservative or median")
    return rank.astype(jnp.float32)


def session_metrics(rank: Float[Array, "*shape"], at: Sequence[int]) -> dict[str, Float[Array, "*shape"]]:
    """{"recall@N", "mrr@N"} of every prediction."""
    recall = {f"recall@{n}": (rank <= n).astype(jnp.float32) for n in at}
    return recall | {f"mrr@{n}": jnp.where(rank <= n, 1 / rank, 0) for n in at}


def places_in_sessions(
    advance: Callable[[Carry, Int[Array, " b"], Bool[Array, " b"]], tuple[Carry, Float[Array, "b items"]]],
    carry: Carry,
    schedule: Mapping[str, Array],
) -> tuple[Int[Array, "steps b"], Int[Array, "steps b"]]:
    """`places` of every target of a session-parallel schedule; slots without an event mean nothing.

    Args:
      advance: (carry, item that comes in, whether its session begins) to (carry, scores of all items).
      carry: before the first step.
      schedule: {"input", "target", "reset"} [steps, b].
    """

    def step(carry: Carry, now: Mapping[str, Array]) -> tuple[Carry, tuple[Array, Array]]:
        carry, scores = advance(carry, now["input"], now["reset"])
        return carry, places(scores, now["target"])

    return jax.lax.scan(step, carry, {name: schedule[name] for name in ("input", "target", "reset")})[1]
