"""Losses of discriminators, critics and the generators that play against them."""

from collections.abc import Callable
from typing import Literal

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


GANLoss = Literal["hinge", "least_squares", "original", "wasserstein"]


def loss_on_real(logits: Float[Array, "..."], kind: GANLoss) -> Float[Array, "..."]:
    """The discriminator's loss on real examples, per logit.

    `hinge`: max(0, 1 - D); `least_squares`: (D - 1)^2; `original`: -log sigmoid(D); `wasserstein`: -D.
    """
    match kind:
        case "hinge":
            return jnp.maximum(0.0, 1 - logits)
        case "least_squares":
            return (logits - 1) ** 2
        case "original":
            return jax.nn.softplus(-logits)
        case "wasserstein":
            return -logits
    raise ValueError(f"GAN loss {kind!r} is unknown: choose hinge, least_squares, original or wasserstein")


def loss_on_fake(logits: Float[Array, "..."], kind: GANLoss) -> Float[Array, "..."]:
    """The discriminator's loss on generated examples, per logit.

    `hinge`: max(0, 1 + D); `least_squares`: D^2; `original`: -log(1 - sigmoid(D)); `wasserstein`: D.
    """
    return logits**2 if kind == "least_squares" else loss_on_real(-logits, kind)


def generator_loss(logits: Float[Array, "..."], kind: GANLoss) -> Float[Array, "..."]:
    """The generator's loss on what it generated, per logit.

    `hinge`, `wasserstein`: -D; `least_squares`: (D - 1)^2; `original`: the non-saturating -log sigmoid(D).
    """
    return -logits if kind == "hinge" else loss_on_real(logits, kind)


def r1_penalty(
    critic: Callable[[PyTree], Float[Array, " b"]], real: PyTree[Float[Array, "b ..."]]
) -> Float[Array, " b"]:
    """||grad D(x_b)||^2 / 2 per example, at real examples (Mescheder et al. 2018, eq. 9 with gamma 1).

    `critic` maps the tree to one value per example, which may depend on that example alone.
    """
    gradient = jax.grad(lambda x: jnp.sum(critic(x)))(real)
    flat = [g.reshape(len(g), -1) for g in jax.tree.leaves(gradient)]
    return jnp.sum(jnp.concatenate(flat, axis=-1) ** 2, axis=-1) / 2
