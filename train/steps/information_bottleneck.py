"""One update of a classifier of digits whose latent may keep little of the image: cross entropy + beta I(x; z).

The experiment on information bottlenecks of Cheng et al., "CLUB", ICML 2020, after Alemi et al., "Deep variational
information bottleneck", ICLR 2017. The estimate of I(x; z) that is lowered has a name in `PENALTIES`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.bottleneck import Bottleneck
from jaxmodels.critics import ConditionalGaussian
from jaxmodels.vae import reparameterise
from objectives.mutual_information import upper
from objectives.mutual_information.conditional import gaussian_learning_loss
from train.bounds import AtLeast, Positive
from train.devices import on_any_mesh
from train.steps.image_types import require_floats
from train.update import Metrics, descend

Penalty = Literal["none", "vub", "club", "club-sampled", "vclub", "vclub-sampled"]
LEARNED = ("vclub", "vclub-sampled")
"""Estimates with a learned q(z|x); the others have the encoder's own p(z|x)."""
PenaltyName = Literal["plain", "VUB", "CLUB", "CLUB-S", "vCLUB", "vCLUB-S"]
PENALTIES: dict[str, Penalty] = {
    "plain": "none",
    "VUB": "vub",
    "CLUB": "club",
    "CLUB-S": "club-sampled",
    "vCLUB": "vclub",
    "vCLUB-S": "vclub-sampled",
}
"""By the names of the paper's table. `plain` is the deterministic network z = mu; `VUB` is the deep variational
information bottleneck."""


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """Settings of the information bottleneck; the defaults are those of the official code."""

    latent_dim: Annotated[int, AtLeast(1)] = 256
    """Dimensions of z."""
    hidden: tuple[Annotated[int, AtLeast(1)], ...] = (1024, 1024)
    """Hidden layers of the encoder."""
    q_hidden: tuple[Annotated[int, AtLeast(1)], ...] = (256,)
    """Hidden layers of the mean and of the log-variance of a learned q(z|x)."""
    q_noise: Annotated[float, AtLeast(0)] = 0.3
    """Standard deviation of the noise on the images that a learned q(z|x) sees."""
    beta: Annotated[float, AtLeast(0)] = 1e-3
    """Weight of the estimate."""
    scale: Literal["official", "paper"] = "official"
    """CLUB estimates as the official code computes them, without the half of the log-density: twice the paper's."""
    learning_rate: Annotated[float, Positive()] = 1e-4
    """Learning rate of Adam."""
    decay: Annotated[float, Positive()] = 0.99
    """Factor that multiplies the learning rate every `decay_epochs`."""
    decay_epochs: Annotated[float, Positive()] = 2.0
    """Epochs between two decays. As in the official code an update of q counts as well, so that with a learned q
    they come twice as often."""
    epochs: Annotated[int, AtLeast(1)] = 200
    """Passes over the training images."""
    batch_size: Annotated[int, AtLeast(2)] = 200
    """Images per update."""


class BottleneckState(flax.struct.PyTreeNode):
    """params: of the classifier; q: of q(z|x), {} where nothing is learned."""

    step: jax.Array
    params: PyTree
    q: PyTree
    optimiser: PyTree
    q_optimiser: PyTree
    key: jax.Array


def network(config: BottleneckConfig) -> Bottleneck:
    """Encoder and classifier."""
    return Bottleneck(config.latent_dim, config.hidden)


def conditional(config: BottleneckConfig) -> ConditionalGaussian:
    """The learned q(z|x)."""
    return ConditionalGaussian(
        config.latent_dim, config.q_hidden, bound=2.0, initialisation="glorot", activation=nn.elu
    )


def init_state(key: jax.Array, config: BottleneckConfig, penalty: Penalty, pixels: int) -> BottleneckState:
    """A fresh state for images of that many pixels. The key initialises it and seeds every later update."""
    run_key, key, q_key = jax.random.split(key, 3)
    x = jnp.zeros((1, pixels))
    params = network(config).init(key, x)["params"]
    q = conditional(config).init(q_key, x)["params"] if penalty in LEARNED else {}
    return BottleneckState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        q=q,
        optimiser=optimiser(config, penalty, 1).init(params),
        q_optimiser=optimiser(config, penalty, 1).init(q),
        key=run_key,
    )


def optimiser(
    config: BottleneckConfig, penalty: Penalty, steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam with beta_1 = 0.5 and a learning rate that falls in stairs; one for the classifier and one for q."""
    per_decay = max(1, round(config.decay_epochs * steps_per_epoch / (2 if penalty in LEARNED else 1)))
    schedule = optax.exponential_decay(config.learning_rate, per_decay, config.decay, staircase=True)
    return optax.adam(schedule, b1=0.5)


@on_any_mesh
def train_step(
    state: BottleneckState,
    batch: dict[str, Array],
    config: BottleneckConfig,
    penalty: Penalty,
    steps_per_epoch: int,
) -> tuple[BottleneckState, Metrics]:
    """One update of q(z|x), if it is learned, then one of the classifier on the same images.

    Args:
      state: before the update.
      batch: image [b, h, w] in [0, 1] and label [b].
      config: see there.
      penalty: which estimate is lowered.
      steps_per_epoch: updates of the classifier in an epoch, for its learning rate.

    Returns:
      The state, and the metrics loss, cross_entropy, information (the estimate in nats) and error (the share of wrong
      classes), all at the classifier before its update.
    """
    q_key, key = jax.random.split(jax.random.fold_in(state.key, state.step))
    x, adam = pixels_of(batch["image"]), optimiser(config, penalty, steps_per_epoch)
    if penalty in LEARNED:
        gradient = jax.grad(q_loss)(state.q, state.params, x, q_key, config)
        updates, q_optimiser = adam.update(gradient, state.q_optimiser)
        state = state.replace(q=optax.apply_updates(state.q, updates), q_optimiser=q_optimiser)
    given = state.q, x, batch["label"], key, config, penalty
    params, optimiser_state, _, metrics = descend(objective, adam, state.params, state.optimiser, *given)
    return state.replace(step=state.step + 1, params=params, optimiser=optimiser_state), metrics


def pixels_of(image: Float[Array, "b h w"]) -> Float[Array, "b p"]:
    """Pixels of [0, 1] as numbers of [-1, 1].

    Raises:
      TypeError: they are not floats.
    """
    return 2 * require_floats(image).reshape(len(image), -1) - 1


def q_loss(
    q: PyTree, params: PyTree, x: Float[Array, "b p"], key: jax.Array, config: BottleneckConfig
) -> Float[Array, ""]:
    """Minus twice the mean log-likelihood of q(z|x), up to a constant, on latents that are held fixed."""
    z_key, x_key = jax.random.split(key)
    mu, logvar = encode(params, x, config)
    z = jax.lax.stop_gradient(reparameterise(mu, logvar, jax.random.normal(z_key, mu.shape)))
    return jnp.mean(gaussian_learning_loss(z, *q_of(q, x, x_key, config)))


def objective(
    params: PyTree,
    q: PyTree,
    x: Float[Array, "b p"],
    label: Int[Array, " b"],
    key: jax.Array,
    config: BottleneckConfig,
    penalty: Penalty,
) -> tuple[Float[Array, ""], Metrics]:
    """Mean cross entropy + beta I(x; z), with the metrics of `train_step`."""
    z_key, estimate_key = jax.random.split(key)
    mu, logvar = encode(params, x, config)
    z = mu if penalty == "none" else reparameterise(mu, logvar, jax.random.normal(z_key, mu.shape))
    logits = classify(params, z, config)
    cross_entropy = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))
    information = estimate(penalty, z, mu, logvar, q, x, estimate_key, config)
    loss = cross_entropy + config.beta * weight(config, penalty) * information
    error = jnp.mean(jnp.argmax(logits, axis=-1) != label)
    return loss, {"loss": loss, "cross_entropy": cross_entropy, "information": information, "error": error}


def estimate(
    penalty: Penalty,
    z: Float[Array, "b l"],
    mu: Float[Array, "b l"],
    logvar: Float[Array, "b l"],
    q: PyTree,
    x: Float[Array, "b p"],
    key: jax.Array,
    config: BottleneckConfig,
) -> Float[Array, ""]:
    """The estimate of I(x; z) in nats; a known p(z|x) = N(mu, diag exp(logvar)) is learned through, q(z|x) is not."""
    x_key, index_key = jax.random.split(key)
    if penalty in LEARNED:
        mu, logvar = q_of(q, x, x_key, config)
    match penalty:
        case "none":
            return jnp.zeros(())
        case "vub":
            return jnp.mean(upper.vub(mu, logvar))
        case "club" | "vclub":
            return upper.vclub(z, mu, logvar)
        case "club-sampled" | "vclub-sampled":
            return jnp.mean(upper.vclub_sampled(z, mu, logvar, upper.negative_index(index_key, len(z))))
    raise ValueError(f"penalty {penalty!r} is unknown")


def weight(config: BottleneckConfig, penalty: Penalty) -> float:
    """What beta multiplies an estimate with: 2 for CLUB in the official code, whose log-density lacks the half."""
    return 2.0 if "club" in penalty and config.scale == "official" else 1.0


def encode(
    params: PyTree, x: Float[Array, "b p"], config: BottleneckConfig
) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
    """mu and log sigma^2 of p(z|x)."""
    return network(config).bind({"params": params}).encode(x)


def classify(params: PyTree, z: Float[Array, "b l"], config: BottleneckConfig) -> Float[Array, "b c"]:
    """Logits."""
    return network(config).bind({"params": params}).classify(z)


def q_of(
    q: PyTree, x: Float[Array, "b p"], key: jax.Array, config: BottleneckConfig
) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
    """Mean and log-variance of q(z|x), of images with noise."""
    noisy = x + config.q_noise * jax.random.normal(key, x.shape)
    return conditional(config).bind({"params": q})(noisy)


def predict(
    params: PyTree,
    image: Float[Array, "b h w"],
    key: jax.Array,
    config: BottleneckConfig,
    penalty: Penalty,
    samples: int = 12,
) -> Float[Array, "b c"]:
    """Class probabilities: the mean over samples of z, or those at z = mu for the plain network."""
    mu, logvar = encode(params, pixels_of(image), config)
    if penalty == "none":
        return jax.nn.softmax(classify(params, mu, config))
    noise = jax.random.normal(key, (samples, *mu.shape))
    sampled = jax.vmap(lambda n: jax.nn.softmax(classify(params, reparameterise(mu, logvar, n), config)))
    return jnp.mean(sampled(noise), axis=0)
