"""One update of Mult-VAE^PR and Mult-DAE (Liang, Krishnan, Hoffman & Jebara, WWW 2018).

Where the items are divided over devices, rows and parameters may be padded: `items` is the number of real ones.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmodels.mult_vae import Decoder, DeterministicEncoder, Encoder, dropout, normalise
from jaxmodels.vae import reparameterise
from objectives.elbo import kl_standard_normal
from objectives.likelihood import gaussian, logistic, multinomial
from train.config import check_choices
from train.devices import across_devices
from train.errors import UserError
from train.item_shards import log_normaliser
from train.steps.autoencoder import Metrics

Likelihood = Literal["multinomial", "gaussian", "logistic"]
ANNEALED = 0.85
"""Part of all updates after which the published run (40,000 of 46,800) has its final beta."""


@dataclass(frozen=True, kw_only=True)
class MultVAEConfig:
    """Settings of the network, its loss and its optimiser; the defaults are those of the official Mult-VAE."""

    kind: Literal["vae", "dae"] = "vae"
    """Mult-VAE, or Mult-DAE: a deterministic code after a tanh, and no KL term. The official Mult-DAE has no hidden
    layers and l2 = 2e-5."""
    latent_dim: int = 200
    """Number of latent dimensions K."""
    hidden: tuple[int, ...] = (600,)
    """Hidden layers of the encoder; the decoder's are the same in reverse order."""
    likelihood: Likelihood = "multinomial"
    """Likelihood of a user's clicks given the logits."""
    confidence: tuple[float, float] = (5.0, 1.0)
    """Weights of clicks and of all other items in the Gaussian likelihood."""
    keep: float = 0.5
    """Probability with which an item of the input is kept in training; the rest is dropped."""
    beta: float = 0.2
    """Largest weight of the KL term; below 1 the VAE is partially regularised (PR)."""
    anneal_steps: int = 200_000
    """Updates in which beta would rise linearly from 0 to 1; it stops at its largest value. 0: so many that it gets
    there after 85 % of all updates, as it does in the published run; `anneal_steps` says how many. 1: annealing
    in the first update only."""
    l2: float = 0.0
    """Weight of the sum of squares of all weight matrices. It is a term of the loss, not decoupled weight decay."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""


class MultVAEState(flax.struct.PyTreeNode):
    """params: {"encoder", "decoder"}. `step` counts the updates that beta depends on."""

    step: jax.Array
    params: PyTree
    optimiser: PyTree
    key: jax.Array


class Noise(NamedTuple):
    """Of one update: which inputs are kept, and the posterior's standard normal noise (Mult-DAE uses none)."""

    kept: Bool[Array, "b items"]
    eps: Float[Array, "b l"]


def check(config: MultVAEConfig) -> None:
    """Raises UserError for settings that no network or loss can be made of."""
    check_choices(config)
    if config.latent_dim < 1:
        raise UserError("--model.latent-dim", config.latent_dim, "is no size", "give at least 1")
    if min(config.hidden, default=1) < 1:
        raise UserError(
            "--model.hidden", config.hidden, "are no sizes of layers", "give e.g. 600, or nothing"
        )
    if not 0 < config.keep <= 1:
        raise UserError("--model.keep", config.keep, "is not in (0, 1]", "give 1 to drop nothing")
    if min(config.confidence) <= 0:
        raise UserError("--model.confidence", config.confidence, "are no weights", "give e.g. 5 1")
    for name in ("beta", "anneal_steps", "l2"):
        value = getattr(config, name)
        if not 0 <= value < float("inf"):
            raise UserError(
                f"--model.{name.replace('_', '-')}", value, "is negative or infinite", "give e.g. 0"
            )
    if not 0 < config.learning_rate < float("inf"):
        raise UserError("--model.learning-rate", config.learning_rate, "is no step size", "give e.g. 1e-3")


def anneal_steps(config: MultVAEConfig, updates: int) -> int:
    """The length of the annealing for a run of `updates`: that of the settings, or for 0 the published one rescaled.

    It must be in the settings before training: an update can't know how long the run is.
    """
    if config.anneal_steps or not config.beta:
        return config.anneal_steps
    return max(1, round(ANNEALED * updates / config.beta))


def encoder(config: MultVAEConfig) -> Encoder | DeterministicEncoder:
    """The encoder of these settings."""
    kind = Encoder if config.kind == "vae" else DeterministicEncoder
    return kind(config.latent_dim, config.hidden)


def decoder(config: MultVAEConfig, items: int) -> Decoder:
    """The decoder of these settings."""
    return Decoder(items, config.hidden[::-1])


def init_state(key: jax.Array, config: MultVAEConfig, items: int) -> MultVAEState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, encoder_key, decoder_key = jax.random.split(key, 3)
    x, z = jnp.zeros((1, items)), jnp.zeros((1, config.latent_dim))
    params = {
        "encoder": encoder(config).init(encoder_key, x)["params"],
        "decoder": decoder(config, items).init(decoder_key, z)["params"],
    }
    return MultVAEState(
        step=jnp.zeros((), jnp.int32), params=params, optimiser=optimiser(config).init(params), key=run_key
    )


def optimiser(config: MultVAEConfig) -> optax.GradientTransformation:
    """Adam with the constants of TensorFlow, which are the defaults of optax: 0.9, 0.999, 1e-8.

    TensorFlow adds the last one before it corrects the bias, which only gradients of about that size can feel.
    """
    return optax.adam(config.learning_rate)


def train_step(
    state: MultVAEState, batch: dict[str, Array], config: MultVAEConfig, items: int
) -> tuple[MultVAEState, Metrics]:
    """One update on {"x": [b, items]}; pure, its noise is a function of (key, step), beta of the step."""
    x = batch["x"]
    # For the real items alone, so that a padded catalogue sees the same noise.
    kept, eps = draw_noise(jax.random.fold_in(state.key, state.step), (len(x), items), config)
    noise = Noise(jnp.pad(kept, ((0, 0), (0, x.shape[1] - items))), eps)
    return update(state, x, noise, config, items)


def draw_noise(key: jax.Array, shape: tuple[int, ...], config: MultVAEConfig) -> Noise:
    """The noise of one update on rows of that shape."""
    kept_key, eps_key = jax.random.split(key)
    return Noise(
        jax.random.bernoulli(kept_key, config.keep, shape),
        jax.random.normal(eps_key, (shape[0], config.latent_dim)),
    )


def beta_at(step: Int[Array, ""] | int, config: MultVAEConfig) -> Float[Array, ""]:
    """min(beta, t / anneal_steps) with t updates done; 0 for Mult-DAE.

    Raises:
      UserError: the length of the annealing depends on that of the run, and was not put in.
    """
    if config.kind == "dae" or not config.beta:
        return jnp.float32(0.0)
    if not config.anneal_steps:
        problem, remedy = "depends on how long the run is", "replace it by anneal_steps(config, updates)"
        raise UserError("anneal_steps", 0, problem, remedy)
    return jnp.minimum(config.beta, jnp.asarray(step, jnp.float32) / config.anneal_steps)


def update(
    state: MultVAEState, x: Float[Array, "b items"], noise: Noise, config: MultVAEConfig, items: int
) -> tuple[MultVAEState, Metrics]:
    """One Adam update with given noise."""
    x, noise = across_devices((x, noise))
    beta = beta_at(state.step, config)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.params, x, noise, beta, config, items)
    updates, optimiser_state = optimiser(config).update(gradient, state.optimiser, state.params)
    params = optax.apply_updates(state.params, updates)
    return state.replace(step=state.step + 1, params=params, optimiser=optimiser_state), metrics


def loss(
    params: PyTree,
    x: Float[Array, "b items"],
    noise: Noise,
    beta: Float[Array, ""] | float,
    config: MultVAEConfig,
    items: int,
) -> tuple[Float[Array, ""], Metrics]:
    """-log p(x|z) + beta KL(q(z|x) || N(0, I)) + l2 sum ||W||^2, and its terms; means over users, as coded.

    The paper's sums over users are the same up to a factor. The target is the row of clicks itself, neither
    normalised nor corrupted.
    """
    h = dropout(normalise(x), noise.kept, config.keep)
    if config.kind == "vae":
        mu, logvar = posterior(params, h, config)
        z, kl = reparameterise(mu, logvar, noise.eps), kl_standard_normal(mu, logvar)
    else:
        z, kl = code(params, h, config), jnp.zeros(len(x))
    terms = {
        "neg_log_likelihood": jnp.mean(neg_log_likelihood(decode(params, z, config), x, config, items)),
        "kl": jnp.mean(kl),
    }
    total = terms["neg_log_likelihood"] + beta * terms["kl"]
    if config.l2:
        terms["l2"] = sum_of_squares(params)
        total += config.l2 * terms["l2"]
    return total, {"loss": total, **terms, "beta": jnp.asarray(beta)}


def neg_log_likelihood(
    logits: Float[Array, "b items"], x: Float[Array, "b items"], config: MultVAEConfig, items: int
) -> Float[Array, " b"]:
    """Of each user's clicks over the real items, in nats."""
    real = jnp.arange(x.shape[1])[None] < items
    match config.likelihood:
        case "multinomial":
            return multinomial(logits, x, lambda logits: log_normaliser(logits, items))
        case "gaussian":
            positive, negative = config.confidence
            return gaussian(logits, x, positive=positive, negative=negative, where=real)
        case "logistic":
            return logistic(logits, x, where=real)


def posterior(
    params: PyTree, h: Float[Array, "b items"], config: MultVAEConfig
) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
    """(mu, logvar) of Mult-VAE for normalised rows."""
    mu_logvar: Any = encoder(config).apply({"params": params["encoder"]}, h)
    return mu_logvar


def code(params: PyTree, h: Float[Array, "b items"], config: MultVAEConfig) -> Float[Array, "b l"]:
    """What stands for normalised rows outside training: the posterior's mean, or the code of Mult-DAE."""
    if config.kind == "vae":
        return posterior(params, h, config)[0]
    z: Any = encoder(config).apply({"params": params["encoder"]}, h)
    return z


def decode(params: PyTree, z: Float[Array, "b l"], config: MultVAEConfig) -> Float[Array, "b items"]:
    """The logits f(z)."""
    width = params["decoder"][f"dense_{len(config.hidden)}"]["bias"].size
    logits: Any = decoder(config, width).apply({"params": params["decoder"]}, z)
    return logits


def sum_of_squares(params: PyTree) -> Float[Array, ""]:
    """sum ||W||_F^2 over all weight matrices; biases are not counted."""
    return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params) if leaf.ndim == 2), jnp.zeros(()))


def scores(params: PyTree, x: Float[Array, "b items"], config: MultVAEConfig) -> Float[Array, "b items"]:
    """Logits by which unseen items are ranked: no dropout, and z = mu."""
    return decode(params, code(params, normalise(x), config), config)
