"""One update of GWAE (Nakagawa et al., ICLR 2023): a main step, then `critic_steps` steps of the critic."""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from jaxmodels.gwae import Critic
from jaxmodels.priors import Noise
from jaxmodels.vae import reparameterise
from objectives.adversarial import drift, gradient_penalty, interpolate
from objectives.elbo import negative_entropy, squared_error
from objectives.gromov_wasserstein import gromov_wasserstein, latent_scale, mean_std
from objectives.mmd import mmd
from train.devices import across_devices, on_any_mesh
from train.networks import Networks, split_collections
from train.steps.autoencoder import (
    pixels,
    scheduled,
)
from train.steps.gwae_networks import GWAEConfig, make_modules, prior
from train.update import Metrics, gradient_norm


class GWAEState(flax.struct.PyTreeNode):
    """params: encoder, decoder, prior, log_scale; critic: the critic's parameters; collections: of every module."""

    step: jax.Array
    params: PyTree
    critic: PyTree
    collections: PyTree
    optimiser: PyTree
    critic_optimiser: PyTree
    key: jax.Array


class StepNoise(flax.struct.PyTreeNode):
    """Every random number of one update. `critic` has the same fields with a leading axis of critic steps."""

    posterior: Float[Array, "b l"]
    prior: Noise
    critic: "CriticNoise | None"


class CriticNoise(flax.struct.PyTreeNode):
    """Random numbers of one critic step; `t` in [0, 1) places the points of the gradient penalty."""

    posterior: Float[Array, "b l"]
    prior: Noise
    t: Float[Array, " b"]


def init_state(key: jax.Array, config: GWAEConfig) -> GWAEState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, encoder_key, decoder_key, prior_key, critic_key = jax.random.split(key, 5)
    modules = make_modules(config)
    x, z = jnp.zeros((2, 64, 64, 3)), jnp.zeros((2, config.latent_dim))
    noise = prior(config).noise(jax.random.key(0), 2)
    inputs = {"encoder": (x,), "decoder": (z,), "prior": (noise,), "critic": (x, z)}
    keys = {"encoder": encoder_key, "decoder": decoder_key, "prior": prior_key, "critic": critic_key}
    split = {
        name: split_collections(modules[name].init(keys[name], *inputs[name], False)) for name in modules
    }
    params = {name: split[name][0] for name in ("encoder", "decoder", "prior")}
    params["log_scale"] = jnp.log(jnp.asarray(config.distance_scale, jnp.float32))
    collections = {name: collections for name, (_, collections) in split.items()}
    return fresh_state(params, split["critic"][0], collections, run_key, config)


def fresh_state(
    params: PyTree, critic: PyTree, collections: PyTree, key: jax.Array, config: GWAEConfig
) -> GWAEState:
    """The state before the first update of these networks."""
    return GWAEState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        critic=critic,
        collections=collections,
        optimiser=optimiser(config).init(params),
        critic_optimiser=critic_optimiser(config).init(critic),
        key=key,
    )


def optimiser(config: GWAEConfig) -> optax.GradientTransformation:
    """RMSprop beside a critic, Adam beside the MMD, as the official code has it."""
    if config.joint == "mmd":
        return optax.adam(scheduled(config.learning_rate, config))
    return _rmsprop(scheduled(config.learning_rate, config))


def critic_optimiser(config: GWAEConfig) -> optax.GradientTransformation:
    """RMSprop."""
    return _rmsprop(scheduled(config.critic_learning_rate, config))


def _rmsprop(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Torch's defaults: decay 0.99, epsilon outside the root."""
    return optax.rmsprop(learning_rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)


@on_any_mesh
def train_step(state: GWAEState, batch: PyTree, config: GWAEConfig) -> tuple[GWAEState, Metrics]:
    """One update on batch["image"] (uint8 [b, 64, 64, 3]); pure, its noise is a function of (key, step)."""
    x = pixels(batch["image"])
    noise = draw_noise(jax.random.fold_in(state.key, state.step), len(x), config)
    return update(state, x, noise, config)


def draw_noise(key: jax.Array, size: int, config: GWAEConfig) -> StepNoise:
    """Every random number of one update on `size` examples."""
    sampler = prior(config)
    posterior_key, prior_key, critic_key = jax.random.split(key, 3)

    def critic_noise(key: jax.Array) -> CriticNoise:
        posterior_key, prior_key, t_key = jax.random.split(key, 3)
        return CriticNoise(
            posterior=jax.random.normal(posterior_key, (size, config.latent_dim)),
            prior=sampler.noise(prior_key, size),
            t=jax.random.uniform(t_key, (size,)),
        )

    return StepNoise(
        posterior=jax.random.normal(posterior_key, (size, config.latent_dim)),
        prior=sampler.noise(prior_key, size),
        critic=jax.vmap(critic_noise)(jax.random.split(critic_key, config.critic_steps))
        if config.joint == "critic"
        else None,
    )


def update(
    state: GWAEState, x: Float[Array, "b 64 64 3"], noise: StepNoise, config: GWAEConfig
) -> tuple[GWAEState, Metrics]:
    """One update with given noise: RMSprop on the main loss, then the critic's steps on the new networks."""
    gradient, (metrics, collections) = jax.grad(main_loss, has_aux=True)(
        state.params, state.critic, state.collections, x, noise, config, True
    )
    updates, optimiser_state = optimiser(config).update(gradient, state.optimiser, state.params)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        optimiser=optimiser_state,
        collections=collections,
    )
    metrics["scale"] = jnp.exp(state.params["log_scale"])
    metrics["gradient_norm"] = gradient_norm(gradient)
    if noise.critic is not None:
        state, critic_metrics = critic_phase(state, x, noise.critic, config)
        metrics |= critic_metrics
    return state, metrics


def eval_step(state: GWAEState, batch: PyTree, key: jax.Array, config: GWAEConfig) -> Metrics:
    """The main loss and its terms in eval mode, on noise from `key`."""
    x = pixels(batch["image"])
    noise = draw_noise(key, len(x), config)
    _, (metrics, _) = main_loss(state.params, state.critic, state.collections, x, noise, config, False)
    return metrics


def main_loss(
    params: PyTree,
    critic: PyTree,
    collections: PyTree,
    x: Float[Array, "b 64 64 3"],
    noise: StepNoise,
    config: GWAEConfig,
    train: bool,
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """L_GW + coef_w L_W + coef_d L_D + coef_h L_H, its terms, and the collections that the calls advanced."""
    networks = Networks(make_modules(config), {**params, "critic": critic}, collections, train)
    mu, logvar = networks("encoder", x)
    z = reparameterise(mu, logvar, across_devices(noise.posterior))
    reconstruction = networks("decoder", z)
    z_prior = networks("prior", noise.prior if config.prior == "causal" else across_devices(noise.prior))
    x_prior = networks("decoder", z_prior)

    loss_gw = gromov_wasserstein(x_prior, z_prior, latent_scale(params["log_scale"], z_prior))
    loss_w = jnp.mean(squared_error(x, reconstruction))
    if config.learned_similarity:
        features = networks("critic", x, method="image_features")
        loss_w += jnp.mean(
            squared_error(features, networks("critic", reconstruction, method="image_features"))
        )
    loss_h = jnp.mean(negative_entropy(logvar))
    loss_d = (
        mmd(z, z_prior) if config.joint == "mmd" else _potential_gap(networks, x, z, x_prior, z_prior, config)
    )
    loss = loss_gw + config.coef_w * loss_w + config.coef_d * loss_d + config.coef_h * loss_h
    metrics = {
        "loss": loss,
        "loss_gw": loss_gw,
        "loss_w": loss_w,
        "loss_d": loss_d,
        "loss_h": loss_h,
        "posterior_std": mean_std(z),
        "prior_std": mean_std(z_prior),
    }
    return loss, (metrics, networks.collections)


def _potential_gap(
    networks: Networks, x: jax.Array, z: jax.Array, x_prior: jax.Array, z_prior: jax.Array, config: GWAEConfig
) -> Float[Array, ""]:
    """L_D = mean D(x~, z~) - mean D(x, z): the dual of the Wasserstein distance between the joints."""
    data, model = networks("critic", x, z), networks("critic", x_prior, z_prior)
    if config.mixed_potential:
        z = jax.lax.stop_gradient(z)
        model = (model + networks("critic", networks("decoder", z), z)) / 2
    return jnp.mean(model - data)


def critic_phase(
    state: GWAEState, x: Float[Array, "b 64 64 3"], noise: CriticNoise, config: GWAEConfig
) -> tuple[GWAEState, Metrics]:
    """`critic_steps` RMSprop updates of the critic; the metrics are those of the last one."""
    modules = make_modules(config)
    networks = Networks(modules, state.params, state.collections, train=True)
    mu, logvar = networks("encoder", x)
    state = state.replace(collections=networks.collections)

    def one_step(state: GWAEState, noise: CriticNoise) -> tuple[GWAEState, Metrics]:
        networks = Networks(modules, state.params, state.collections, train=True)
        data, model, reconstruction = _critic_inputs(networks, x, mu, logvar, noise, config)
        gradient, (metrics, collections) = jax.grad(critic_loss, has_aux=True)(
            state.critic, networks.collections, data, model, reconstruction, noise.t, config
        )
        updates, optimiser_state = critic_optimiser(config).update(
            gradient, state.critic_optimiser, state.critic
        )
        critic = optax.apply_updates(state.critic, updates)
        metrics["critic_gradient_norm"] = gradient_norm(gradient)
        metrics |= {"posterior_std": mean_std(data[1]), "prior_std": mean_std(model[1])}
        return state.replace(
            critic=critic, critic_optimiser=optimiser_state, collections=collections
        ), metrics

    state, metrics = jax.lax.scan(one_step, state, noise)
    return state, jax.tree.map(lambda values: values[-1], metrics)


def _critic_inputs(
    networks: Networks,
    x: jax.Array,
    mu: jax.Array,
    logvar: jax.Array,
    noise: CriticNoise,
    config: GWAEConfig,
) -> tuple[tuple, tuple, jax.Array | None]:
    """(x, z), (x~, z~) and, where something needs it, x^: what the critic compares."""
    z = reparameterise(mu, logvar, across_devices(noise.posterior))
    # The official code always decodes z here; without batch norm and mixed potential nothing depends on it.
    reconstruction = networks("decoder", z) if config.mixed_potential or config.batch_norm else None
    z_prior = networks("prior", noise.prior if config.prior == "causal" else across_devices(noise.prior))
    return (x, z), (networks("decoder", z_prior), z_prior), reconstruction


def critic_loss(
    critic: PyTree,
    collections: PyTree,
    data: tuple[jax.Array, jax.Array],
    model: tuple[jax.Array, jax.Array],
    reconstruction: Float[Array, "b 64 64 3"] | None,
    t: Float[Array, " b"],
    config: GWAEConfig,
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """-(mean D(x~, z~) - mean D(x, z)) + coef_gp (GP + 1e-4 mean D(x, z)^2 + 1e-4 mean D(x~, z~)^2)."""
    networks = Networks(
        {"critic": Critic(jnp.dtype(config.dtype))}, {"critic": critic}, collections, train=True
    )
    logits_data, logits_model = networks("critic", *data), networks("critic", *model)
    if config.mixed_potential:
        logits_model = (logits_model + networks("critic", reconstruction, data[1])) / 2
    penalty, networks.collections = _penalty(networks, interpolate(data, model, t))
    loss_gp = penalty + 1e-4 * jnp.mean(drift(logits_data)) + 1e-4 * jnp.mean(drift(logits_model))
    loss_logits = -jnp.mean(logits_model - logits_data)
    loss = loss_logits + config.gradient_penalty * loss_gp
    metrics = {
        "critic_loss": loss,
        "critic_logits": loss_logits,
        "critic_penalty": loss_gp,
        "critic_penalty_one_centred": penalty,
        "critic_on_data": jnp.mean(logits_data),
        "critic_on_model": jnp.mean(logits_model),
    }
    return loss, (metrics, networks.collections)


def _penalty(networks: Networks, points: tuple) -> tuple[Float[Array, ""], PyTree]:
    """The mean gradient penalty; advances the singular vectors once, outside the differentiated function."""
    networks("critic", *points)
    frozen = Networks(networks.modules, networks.params, networks.collections, train=False)
    return jnp.mean(gradient_penalty(partial(_apply, frozen), points)), networks.collections


def _apply(networks: Networks, points: tuple) -> jax.Array:
    return networks("critic", *points)
