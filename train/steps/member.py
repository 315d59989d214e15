"""The form of a member of the VAE family: networks, a loss for each of its players, noise. All else is written here.

A member's file holds its settings, the networks that it adds to encoder, decoder and prior, and its losses, each a
function of applied networks and of what an update is given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxmodels.priors import Normal, Prior
from jaxmodels.vae import reparameterise
from objectives.elbo import kl_standard_normal, squared_error
from train.devices import on_any_mesh
from train.networks import Networks, split_collections
from train.steps.autoencoder import Autoencoder, AutoencoderConfig, decoder, encoder, pixels, scheduled
from train.update import Alternating, Given, Metrics, Player, Said, State, noise_key

MOMENTUM = 0.1
"""Of the batch norms of all members but GWAE, as in the official package."""
Noise = Mapping[str, PyTree]


class Loss(NamedTuple):
    """Of a player: what it minimises, its terms for the log, and what it hands to the player after it."""

    value: jax.Array
    metrics: Metrics
    hands: PyTree = None


def player(
    modules: Mapping[str, nn.Module],
    moves: tuple[str, ...],
    loss: Callable[[Networks, Given], Loss],
    rule: optax.GradientTransformation,
    **options: Any,
) -> Player:
    """A player whose loss is of networks that are applied by name; in evaluation `given.step` is None."""

    def of_params(params: PyTree, given: Given) -> tuple[jax.Array, Said]:
        networks = Networks(dict(modules), params, given.collections, train=given.step is not None)
        value, metrics, hands = loss(networks, given)
        return value, Said(metrics, networks.collections, hands)

    return Player(moves, of_params, rule, **options)


def gaussian(config: AutoencoderConfig) -> dict[str, nn.Module]:
    """Encoder and decoder of these settings, and the prior N(0, I)."""
    return {
        "encoder": encoder(config, MOMENTUM),
        "decoder": decoder(config, MOMENTUM),
        "prior": Normal(config.latent_dim),
    }


def adam(config: AutoencoderConfig) -> optax.GradientTransformation:
    """Adam with the schedule of these settings, as in the official package's baselines."""
    return optax.adam(scheduled(config.learning_rate, config))


class Pass(NamedTuple):
    """Images through encoder and decoder: the posterior, a sample of it, and R and KL per example."""

    mu: Float[Array, "b l"]
    logvar: Float[Array, "b l"]
    z: Float[Array, "b l"]
    reconstruction: Float[Array, " b"]
    kl: Float[Array, " b"]

    @property
    def terms(self) -> Metrics:
        """The means of R and KL, as the log names them."""
        return {"loss_w": jnp.mean(self.reconstruction), "loss_kl": jnp.mean(self.kl)}


def autoencode(networks: Networks, x: Float[Array, "b h w c"], noise: Float[Array, "b l"]) -> Pass:
    """q(z|x), z, 1/2 ||x - x^(z)||^2 and KL(q(z|x) || N(0, I)), with the noise of z given."""
    mu, logvar = networks("encoder", x)
    z = reparameterise(mu, logvar, noise)
    return Pass(mu, logvar, z, squared_error(x, networks("decoder", z)), kl_standard_normal(mu, logvar))


@dataclass(frozen=True)
class Member:
    """A system of the family with its settings. Its first player trains encoder and decoder; noise is by player."""

    name: str
    """With its settings in words, for titles."""
    modules: Mapping[str, nn.Module]
    players: Mapping[str, Player]
    draw: Callable[[jax.Array, int], Noise]
    """The noise of one update on so many images."""
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a network takes, of "x" and "z"; a code "z" if it isn't named."""

    @property
    def prior(self) -> Prior:
        """Of its modules."""
        prior = self.modules["prior"]
        assert isinstance(prior, Prior)
        return prior

    @property
    def autoencoder(self) -> Autoencoder:
        """The networks for use after training."""
        return Autoencoder(dict(self.modules), self.prior)

    def init(self, key: jax.Array) -> State:
        """A fresh state. The key initialises the parameters and seeds every later update."""
        run_key, *keys = jax.random.split(key, 1 + len(self.modules))
        codes = jnp.zeros((2, self.prior.latent_dim))
        inputs = {"x": jnp.zeros((2, 64, 64, 3)), "z": codes, "noise": self.prior.noise(jax.random.key(0), 2)}
        takes = {"encoder": ("x",), "prior": ("noise",), **self.takes}
        params, collections = {}, {}
        for own_key, (name, module) in zip(keys, self.modules.items(), strict=True):
            variables = module.init(own_key, *(inputs[one] for one in takes.get(name, ("z",))), False)
            params[name], collections[name] = split_collections(variables)
        return self._turns.init(run_key, params, collections)

    def train_step(self, state: State, batch: PyTree) -> tuple[State, Metrics]:
        """One update on batch["image"] (uint8 [b, 64, 64, 3]); pure, its noise is a function of (key, step)."""
        return on_any_mesh(self._step)(state, batch)

    def _step(self, state: State, batch: PyTree) -> tuple[State, Metrics]:
        x = pixels(batch["image"])
        return self.update(state, x, self.draw(noise_key(state), len(x)))

    def update(self, state: State, x: Float[Array, "b 64 64 3"], noise: Noise) -> tuple[State, Metrics]:
        """One update with given noise."""
        return self._turns.update(state, x, noise)

    def eval_step(self, state: State, batch: PyTree, key: jax.Array) -> Metrics:
        """All players' losses and their terms in eval mode, on noise from `key`."""
        x = pixels(batch["image"])
        return self._turns.evaluate(state, x, self.draw(key, len(x)))

    @property
    def _turns(self) -> Alternating:
        return Alternating(self.players)


def gaussian_member(name: str, config: AutoencoderConfig, loss: Callable[[Networks, Given], Loss]) -> Member:
    """A member of one loss, that adds no network to encoder and decoder and no noise to the posterior's."""
    modules = gaussian(config)
    main = player(modules, ("encoder", "decoder"), loss, adam(config))
    return Member(name, modules, {"main": main}, partial(posterior_noise, latent_dim=config.latent_dim))


def posterior_noise(key: jax.Array, size: int, latent_dim: int) -> Noise:
    """That of one update on `size` images, for a member of one player."""
    return {"main": jax.random.normal(key, (size, latent_dim))}
