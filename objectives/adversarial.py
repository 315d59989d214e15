"""Losses of critics."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from objectives.distances import norm


def interpolate(
    real: PyTree[Float[Array, "b ..."]], fake: PyTree[Float[Array, "b ..."]], t: Float[Array, " b"]
) -> PyTree[Float[Array, "b ..."]]:
    """t real + (1 - t) fake with one t in [0, 1) per example, shared by every array of the tree."""

    def mix(r: jax.Array, f: jax.Array) -> jax.Array:
        weight = t.reshape((-1,) + (1,) * (r.ndim - 1))
        return weight * r + (1 - weight) * f

    return jax.tree.map(mix, real, fake)


def gradient_penalty(
    critic: Callable[[PyTree], Float[Array, " b"]], points: PyTree[Float[Array, "b ..."]]
) -> Float[Array, " b"]:
    """(||grad D(points_b)|| - 1)^2 per example (Gulrajani et al. 2017, eq. 3).

    One norm over the gradients with respect to every array of the tree. `critic` maps the tree to one value per
    example, which may depend on that example alone.
    """
    gradient = jax.grad(lambda p: jnp.sum(critic(p)))(points)
    flat = [g.reshape(len(g), -1) for g in jax.tree.leaves(gradient)]
    return (norm(jnp.concatenate(flat, axis=-1)) - 1) ** 2


def drift(logits: Float[Array, " b"]) -> Float[Array, " b"]:
    """D^2 per example: keeps the critic's offset from drifting (Karras et al. 2018, with weight 1e-3 there)."""
    return logits**2
