"""One update of two Gaussian mixtures of the same noise whose mutual information is pushed down.

The notebook on minimisation of Cheng et al., "CLUB", ICML 2020. In every dimension (x, y) is a rotation-like mixture
of the same two standard normal numbers, with an angle that is learned:

  x = sin(a) z_1 + cos(a) z_2,  y = cos(a) z_1 + sin(a) z_2

so that x and y are standard normal with correlation sin(2a), and everything that is estimated is known.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from jaxmodels.critics import ConditionalGaussian
from objectives.mutual_information import upper
from objectives.mutual_information.conditional import gaussian_learning_loss, gaussian_scores
from train.bounds import AtLeast, Positive, Within
from train.devices import on_any_mesh
from train.update import Metrics

Estimate = Literal["club", "club-sampled", "leave-one-out", "club-known"]


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """Settings of the notebook."""

    dim: Annotated[int, AtLeast(1)] = 2
    """Dimensions of x and of y."""
    angle: Annotated[float, Within(0, math.pi / 4, "[)")] = 0.55
    """Initial value of the angles: 1.58 nats in two dimensions."""
    hidden_size: Annotated[int, AtLeast(2)] = 5
    """Hidden units; the mean and the log-variance of q(y|x) have half as many each, rounded down."""
    learning_rate: Annotated[float, Positive()] = 1e-4
    """Learning rate of Adam, for the angles and for q."""
    q_steps: Annotated[int, AtLeast(1)] = 5
    """Updates of q after each update of the angles, on fresh pairs."""
    batch_size: Annotated[int, AtLeast(2)] = 100
    """Pairs per update."""
    steps: Annotated[int, AtLeast(1)] = 5000
    """Updates of the angles."""


class MixingState(flax.struct.PyTreeNode):
    """params: {"angle": [d]}; q: parameters of q(y|x)."""

    step: jax.Array
    params: PyTree
    q: PyTree
    optimiser: PyTree
    q_optimiser: PyTree
    key: jax.Array


def mix(
    angle: Float[Array, " d"], z: Float[Array, "k 2 d"]
) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
    """x and y, differentiable in the angles."""
    s, c = jnp.sin(angle)[None], jnp.cos(angle)[None]
    return s * z[:, 0] + c * z[:, 1], c * z[:, 0] + s * z[:, 1]


def mutual_information(angle: Float[Array, " d"]) -> Float[Array, ""]:
    """I(x; y) = -1/2 sum_d log(1 - rho^2) in nats, with rho = sin(2a)."""
    return -0.5 * jnp.sum(jnp.log(jnp.cos(2 * angle) ** 2))


def analytic_club(angle: Float[Array, " d"]) -> Float[Array, ""]:
    """CLUB with the true p(y|x): sum_d rho^2 / (1 - rho^2) in nats."""
    return jnp.sum(jnp.tan(2 * angle) ** 2)


def init_state(key: jax.Array, config: MixingConfig) -> MixingState:
    """A fresh state. The key initialises q and seeds every later update."""
    run_key, q_key = jax.random.split(key)
    params = {"angle": jnp.full(config.dim, config.angle, jnp.float32)}
    q = conditional(config).init(q_key, jnp.zeros((1, config.dim)))["params"]
    return MixingState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        q=q,
        optimiser=optimiser(config).init(params),
        q_optimiser=optimiser(config).init(q),
        key=run_key,
    )


def conditional(config: MixingConfig) -> ConditionalGaussian:
    """q(y|x)."""
    return ConditionalGaussian(config.dim, (config.hidden_size // 2,))


def optimiser(config: MixingConfig) -> optax.GradientTransformation:
    """Adam, one for the angles and one for q."""
    return optax.adam(config.learning_rate)


@on_any_mesh
def train_step(
    state: MixingState, noise: Float[Array, "k n 2 d"], config: MixingConfig, estimate: Estimate
) -> tuple[MixingState, Metrics]:
    """One update of the angles that lowers the estimate, then `q_steps` updates of q at the new angles.

    Args:
      state: before the update.
      noise: standard normal z, [pairs, 1 + q_steps, 2, dimensions].
      config: see there.
      estimate: what is lowered.

    Returns:
      The state, and the metrics: the estimate that was lowered, mutual_information and analytic_club at the new angles,
      all in nats, and q_loss, the learning loss of q on the last of its batches.
    """
    key = jax.random.fold_in(state.key, state.step)
    value, gradient = jax.value_and_grad(estimated)(state.params, state.q, noise[:, 0], key, config, estimate)
    updates, optimiser_state = optimiser(config).update(gradient, state.optimiser)
    params: PyTree = optax.apply_updates(state.params, updates)

    def learn(carry: tuple, z: jax.Array) -> tuple[tuple, jax.Array]:
        q, q_optimiser = carry
        loss, gradient = jax.value_and_grad(q_loss)(q, *mix(params["angle"], z), config)
        updates, q_optimiser = optimiser(config).update(gradient, q_optimiser)
        return (optax.apply_updates(q, updates), q_optimiser), loss

    fresh = jnp.moveaxis(noise[:, 1:], 1, 0)
    (q, q_optimiser), losses = jax.lax.scan(learn, (state.q, state.q_optimiser), fresh)
    metrics = {
        "estimate": value,
        "mutual_information": mutual_information(params["angle"]),
        "analytic_club": analytic_club(params["angle"]),
        "q_loss": losses[-1],
    }
    state = state.replace(
        step=state.step + 1, params=params, q=q, optimiser=optimiser_state, q_optimiser=q_optimiser
    )
    return state, metrics


def estimated(
    params: PyTree,
    q: PyTree,
    z: Float[Array, "k 2 d"],
    key: jax.Array,
    config: MixingConfig,
    estimate: Estimate,
) -> Float[Array, ""]:
    """What is lowered, a function of the angles through the pairs; `club-known` has the true p(y|x) for q."""
    x, y = mix(params["angle"], z)
    mu, logvar = conditional(config).bind({"params": q})(x)
    match estimate:
        case "club":
            return upper.vclub(y, mu, logvar)
        case "club-sampled":
            return jnp.mean(upper.vclub_sampled(y, mu, logvar, upper.negative_index(key, len(y))))
        case "leave-one-out":
            return upper.leave_one_out(gaussian_scores(y, mu, logvar))
        case "club-known":
            rho = jnp.sin(2 * params["angle"])[None]
            return upper.vclub(y, rho * x, jnp.broadcast_to(jnp.log1p(-(rho**2)), y.shape))
    raise ValueError(f"estimate {estimate!r} is unknown")


def q_loss(
    q: PyTree, x: Float[Array, "k d"], y: Float[Array, "k d"], config: MixingConfig
) -> Float[Array, ""]:
    """Minus twice the mean log-likelihood of q(y|x), up to a constant."""
    mu, logvar = conditional(config).bind({"params": q})(x)
    return jnp.mean(gaussian_learning_loss(y, mu, logvar))
