"""FactorVAE (Kim & Mnih, "Disentangling by Factorising", ICML 2018): R + KL + gamma TC(z), TC by a discriminator.

The paper's discriminator learns from permuted codes of a second batch. The official GWAE package permutes those of the
same batch, which is the default here as it halves no batch; `second_batch` is the paper's.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import optax

from jaxmodels.code_critic import CodeCritic
from jaxmodels.vae import reparameterise
from objectives.total_correlation import discrimination, log_density_ratio, permute_dims
from train.bounds import AtLeast, Positive
from train.networks import Networks
from train.steps.autoencoder import AutoencoderConfig, scheduled
from train.steps.member import Loss, Member, Noise, adam, autoencode, gaussian, player
from train.update import Given


@dataclass(frozen=True, kw_only=True)
class FactorVAEConfig(AutoencoderConfig):
    """Settings of FactorVAE."""

    objective: Literal["factor-vae"] = "factor-vae"
    """FactorVAE."""
    gamma: Annotated[float, AtLeast(0)] = 10.0
    """Weight of the total correlation; the official GWAE package has 0.1 on CelebA."""
    critic_learning_rate: Annotated[float, Positive()] = 1e-3
    """Learning rate of the discriminator."""
    second_batch: bool = False
    """The first half of a batch trains the VAE, and codes of the second half are permuted."""


def member(config: FactorVAEConfig) -> Member:
    """The system of these settings: the VAE, then the discriminator on the codes that the VAE just had."""
    modules = {**gaussian(config), "critic": CodeCritic(dtype=jnp.dtype(config.dtype))}
    critic_rule = optax.adam(scheduled(config.critic_learning_rate, config), b1=0.5, b2=0.9)
    players = {
        "main": player(modules, ("encoder", "decoder"), partial(main_loss, config=config), adam(config)),
        "critic": player(
            modules, ("critic",), partial(critic_loss, config=config), critic_rule, prefix="critic_"
        ),
    }
    name = f"FactorVAE (gamma {config.gamma:g})"
    return Member(name, modules, players, partial(draw_noise, config=config))


def draw_noise(key: jax.Array, size: int, config: FactorVAEConfig) -> Noise:
    """Posterior noise, and uniform numbers that permute; of the second half of a batch, both."""
    main, posterior, uniform = jax.random.split(key, 3)
    shape = size // 2 if config.second_batch else size, config.latent_dim
    critic = {"uniform": jax.random.uniform(uniform, shape)}
    if config.second_batch:
        critic["posterior"] = jax.random.normal(posterior, shape)
    return {"main": jax.random.normal(main, shape), "critic": critic}


def main_loss(networks: Networks, given: Given, config: FactorVAEConfig) -> Loss:
    """Mean over the batch of R + KL + gamma (log D_0(z) - log D_1(z)); hands on z."""
    one = autoencode(networks, given.batch[: len(given.noise)], given.noise)
    tc = jnp.mean(log_density_ratio(networks("critic", one.z)))
    total = jnp.mean(one.reconstruction + one.kl) + config.gamma * tc
    return Loss(total, {"loss": total, **one.terms, "loss_tc": tc}, hands=one.z)


def critic_loss(networks: Networks, given: Given, config: FactorVAEConfig) -> Loss:
    """Mean of -log D_0(z) - log D_1(permuted z')."""
    z = other = given.handed
    if config.second_batch:
        mu, logvar = networks("encoder", given.batch[len(z) :][: len(z)])
        other = reparameterise(mu, logvar, given.noise["posterior"])
    permuted = permute_dims(other, given.noise["uniform"])
    loss = jnp.mean(discrimination(networks("critic", z), networks("critic", permuted)))
    return Loss(loss, {"critic_loss": loss})
