"""One update of the VAE (Kingma & Welling 2014) and the beta-VAE (Higgins et al. 2017) on GWAE's networks."""

from dataclasses import dataclass

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxmodels.priors import Normal
from jaxmodels.vae import reparameterise
from objectives.elbo import BetaSchedule, beta_at, kl_standard_normal, negative_elbo, squared_error
from train.devices import across_devices
from train.steps.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    Metrics,
    Networks,
    decoder,
    encoder,
    gradient_norm,
    pixels,
    scheduled,
    split_collections,
)

MOMENTUM = 0.1


@dataclass(frozen=True, kw_only=True)
class VAEConfig(AutoencoderConfig):
    """Settings of the VAE; beta = 1 is the VAE itself."""

    beta: float = 1.0
    """Final weight of the KL term."""
    beta_schedule: BetaSchedule = "constant"
    """Schedule of beta."""
    beta_steps: int = 10_000
    """Length of the schedule in updates."""


class VAEState(flax.struct.PyTreeNode):
    """params: encoder, decoder; collections: of both and of the (parameterless) prior."""

    step: jax.Array
    params: PyTree
    collections: PyTree
    optimiser: PyTree
    key: jax.Array


def make_modules(config: VAEConfig) -> dict[str, nn.Module]:
    """Encoder and decoder of these settings, and the prior N(0, I)."""
    return {
        "encoder": encoder(config, MOMENTUM),
        "decoder": decoder(config, MOMENTUM),
        "prior": Normal(config.latent_dim),
    }


def autoencoder(config: VAEConfig) -> Autoencoder:
    """The networks of these settings for use after training."""
    return Autoencoder(make_modules(config), Normal(config.latent_dim))


def init_state(key: jax.Array, config: VAEConfig) -> VAEState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, encoder_key, decoder_key = jax.random.split(key, 3)
    modules = make_modules(config)
    encoder_variables = modules["encoder"].init(encoder_key, jnp.zeros((2, 64, 64, 3)), False)
    decoder_variables = modules["decoder"].init(decoder_key, jnp.zeros((2, config.latent_dim)), False)
    split = {"encoder": split_collections(encoder_variables), "decoder": split_collections(decoder_variables)}
    split["prior"] = ({}, {})
    params = {name: params for name, (params, _) in split.items()}
    return VAEState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections={name: collections for name, (_, collections) in split.items()},
        optimiser=optimiser(config).init(params),
        key=run_key,
    )


def optimiser(config: VAEConfig) -> optax.GradientTransformation:
    """Adam, as in the official package's baselines."""
    return optax.adam(scheduled(config.learning_rate, config))


def train_step(state: VAEState, batch: PyTree, config: VAEConfig) -> tuple[VAEState, Metrics]:
    """One update on batch["image"] (uint8 [b, 64, 64, 3]); pure, its noise is a function of (key, step)."""
    x = pixels(batch["image"])
    noise = draw_noise(jax.random.fold_in(state.key, state.step), len(x), config)
    return update(state, x, noise, config)


def draw_noise(key: jax.Array, size: int, config: VAEConfig) -> Float[Array, "b l"]:
    """The posterior noise of one update on `size` examples."""
    return jax.random.normal(key, (size, config.latent_dim))


def update(
    state: VAEState, x: Float[Array, "b 64 64 3"], noise: Float[Array, "b l"], config: VAEConfig
) -> tuple[VAEState, Metrics]:
    """One Adam update with given noise."""
    beta = beta_at(state.step, config.beta_schedule, config.beta, config.beta_steps)
    gradient, (metrics, collections) = jax.grad(loss, has_aux=True)(
        state.params, state.collections, x, noise, beta, config, True
    )
    updates, optimiser_state = optimiser(config).update(gradient, state.optimiser, state.params)
    metrics["gradient_norm"] = gradient_norm(gradient)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        optimiser=optimiser_state,
        collections=collections,
    )
    return state, metrics


def eval_step(state: VAEState, batch: PyTree, key: jax.Array, config: VAEConfig) -> Metrics:
    """The loss at the final beta and its terms in eval mode, on noise from `key`."""
    x = pixels(batch["image"])
    noise = draw_noise(key, len(x), config)
    _, (metrics, _) = loss(state.params, state.collections, x, noise, config.beta, config, False)
    return metrics


def loss(
    params: PyTree,
    collections: PyTree,
    x: Float[Array, "b 64 64 3"],
    noise: Float[Array, "b l"],
    beta: Float[Array, ""] | float,
    config: VAEConfig,
    train: bool,
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """Mean over the batch of R + beta KL, its terms, and the collections that the calls advanced."""
    networks = Networks(make_modules(config), params, collections, train)
    mu, logvar = networks("encoder", x)
    z = reparameterise(mu, logvar, across_devices(noise))
    reconstruction = squared_error(x, networks("decoder", z))
    kl = kl_standard_normal(mu, logvar)
    total = jnp.mean(negative_elbo(reconstruction, kl, beta))
    metrics = {
        "loss": total,
        "loss_w": jnp.mean(reconstruction),
        "loss_kl": jnp.mean(kl),
        "beta": jnp.asarray(beta),
    }
    return total, (metrics, networks.collections)
