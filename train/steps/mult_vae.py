"""One update of Mult-VAE^PR and Mult-DAE (Liang, Krishnan, Hoffman & Jebara, WWW 2018).

Where the items are divided over devices, rows and parameters may be padded: `items` is the number of real ones.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmodels.mult_vae import Decoder, DeterministicEncoder, Encoder, dropout, normalise
from jaxmodels.vae import reparameterise
from objectives.elbo import kl_standard_normal
from objectives.likelihood import gaussian, logistic, multinomial
from train.bounds import AtLeast, Positive, Within
from train.devices import across_devices, on_any_mesh
from train.errors import UserError
from train.item_shards import log_normaliser
from train.update import Metrics, State, fresh, noise_key, single_loss

Likelihood = Literal["multinomial", "gaussian", "logistic"]
ANNEALED = 0.85
"""Part of all updates after which the published run (40,000 of 46,800) has its final beta."""


@dataclass(frozen=True, kw_only=True)
class MultVAEConfig:
    """Settings of the network, its loss and its optimiser; the defaults are those of the official Mult-VAE."""

    kind: Literal["vae", "dae"] = "vae"
    """Mult-VAE, or Mult-DAE: a deterministic code after a tanh, and no KL term. The official Mult-DAE has no hidden
    layers and l2 = 2e-5."""
    latent_dim: Annotated[int, AtLeast(1)] = 200
    """Number of latent dimensions K."""
    hidden: tuple[Annotated[int, AtLeast(1)], ...] = (600,)
    """Hidden layers of the encoder; the decoder's are the same in reverse order."""
    likelihood: Likelihood = "multinomial"
    """Likelihood of a user's clicks given the logits."""
    confidence: tuple[Annotated[float, Positive()], Annotated[float, Positive()]] = (5.0, 1.0)
    """Weights of clicks and of all other items in the Gaussian likelihood."""
    keep: Annotated[float, Within(0, 1, "(]")] = 0.5
    """Probability with which an item of the input is kept in training; the rest is dropped."""
    beta: Annotated[float, AtLeast(0)] = 0.2
    """Largest weight of the KL term; below 1 the VAE is partially regularised (PR)."""
    anneal_steps: Annotated[int, AtLeast(0)] = 200_000
    """Updates in which beta would rise linearly from 0 to 1; it stops at its largest value. 0: so many that it gets
    there after 85 % of all updates, as it does in the published run; `anneal_steps` says how many. 1: annealing
    in the first update only."""
    l2: Annotated[float, AtLeast(0)] = 0.0
    """Weight of the sum of squares of all weight matrices. It is a term of the loss, not decoupled weight decay."""
    learning_rate: Annotated[float, Positive()] = 1e-3
    """Learning rate of Adam."""

    @property
    def architecture(self) -> str:
        """I-600-200-600-I, as the paper writes it."""
        sizes = map(str, (*self.hidden, self.latent_dim, *self.hidden[::-1]))
        return f"I-{'-'.join(sizes)}-I"


MultVAEState = State
"""params: {"encoder", "decoder"}. `step` counts the updates that beta depends on."""


class Noise(NamedTuple):
    """Of one update: which inputs are kept, and the posterior's standard normal noise (Mult-DAE uses none)."""

    kept: Bool[Array, "b items"]
    eps: Float[Array, "b l"]


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
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: MultVAEConfig) -> optax.GradientTransformation:
    """Adam with the constants of TensorFlow, which are the defaults of optax: 0.9, 0.999, 1e-8.

    TensorFlow adds the last one before it corrects the bias, which only gradients of about that size can feel.
    """
    return optax.adam(config.learning_rate)


@on_any_mesh
def train_step(
    state: MultVAEState, batch: dict[str, Array], config: MultVAEConfig, items: int
) -> tuple[MultVAEState, Metrics]:
    """One update on {"x": [b, items]}; pure, its noise is a function of (key, step), beta of the step."""
    x = batch["x"]
    # For the real items alone, so that a padded catalogue sees the same noise.
    kept, eps = draw_noise(noise_key(state), (len(x), items), config)
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
    return single_loss(loss, optimiser(config))(state, x, noise, beta, config, items)


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
