"""What every Gaussian autoencoder of the family shares: its settings, networks, and use after training."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PyTree, UInt8

from jaxmodels.gwae import Decoder, Encoder
from jaxmodels.priors import Prior
from train.bounds import AtLeast, Positive
from train.networks import Networks
from train.steps.image_types import require_bytes


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Settings of the networks and of their optimiser."""

    latent_dim: Annotated[int, AtLeast(1)] = 64
    """Number of latent dimensions L."""
    learning_rate: Annotated[float, Positive()] = 1e-4
    """Learning rate of encoder, decoder and prior."""
    warmup_steps: Annotated[int, AtLeast(0)] = 0
    """Updates over which learning rates rise from 0; RMSprop's first updates are ten times too long without."""
    decay_steps: Annotated[int, AtLeast(0)] = 0
    """Update by which learning rates have fallen to a hundredth along a cosine (0: they stay)."""
    batch_norm: bool = False
    """Batch normalisation in encoder and decoder."""
    residual_blocks: bool = False
    """Two residual blocks of 1x1 convolutions after each stage."""
    padding: Literal["edge", "zeros"] = "edge"
    """Padding of the encoder's convolutions."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the networks; parameters and losses stay float32."""


class AutoencoderState(Protocol):
    """What encoding and decoding need of the state of any system of the family."""

    step: jax.Array
    params: PyTree
    collections: PyTree
    key: jax.Array


def encoder(config: AutoencoderConfig, momentum: float, latent_batch_norm: bool = False) -> Encoder:
    """The encoder of these settings; `momentum` is that of its batch norms."""
    return Encoder(
        config.latent_dim,
        config.batch_norm,
        config.residual_blocks,
        latent_batch_norm,
        config.padding,
        momentum,
        jnp.dtype(config.dtype),
    )


def decoder(config: AutoencoderConfig, momentum: float) -> Decoder:
    """The decoder of these settings."""
    return Decoder(3, config.batch_norm, config.residual_blocks, momentum, jnp.dtype(config.dtype))


def pixels(image: UInt8[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """uint8 images as float32 in [0, 1].

    Raises:
      TypeError: they are not uint8.
    """
    return require_bytes(image).astype(jnp.float32) / 255


def scheduled(learning_rate: float, config: AutoencoderConfig) -> optax.ScalarOrSchedule:
    """The learning rate with its warm-up and decay, if it has any."""
    rise, fall = config.warmup_steps, config.decay_steps
    if fall:
        return optax.warmup_cosine_decay_schedule(
            learning_rate / max(rise, 1), learning_rate, rise, fall, learning_rate / 100
        )
    return optax.linear_schedule(learning_rate / rise, learning_rate, rise) if rise else learning_rate


@dataclass(frozen=True)
class Autoencoder:
    """A trained (or fresh) member of the family in eval mode: encode, decode, sample. Pure, one state of one seed."""

    modules: dict[str, nn.Module]
    prior: Prior

    def encode(
        self, state: AutoencoderState, image: UInt8[Array, "b h w c"]
    ) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        """(mu, logvar) of q(z|x)."""
        return self._networks(state)("encoder", pixels(image))

    def decode(self, state: AutoencoderState, z: Float[Array, "b l"]) -> Float[Array, "b h w c"]:
        """Pixels in (0, 1)."""
        return self._networks(state)("decoder", z)

    def sample(self, state: AutoencoderState, key: jax.Array, size: int) -> Float[Array, "n l"]:
        """Codes from the prior."""
        return self._networks(state)("prior", self.prior.noise(key, size))

    def use(self, state: AutoencoderState) -> PyTree:
        """All of it on two examples: (mu, logvar) of black images, and decoded codes of the prior."""
        codes = self.sample(state, jax.random.key(0), 2)
        return self.encode(state, jnp.zeros((2, 64, 64, 3), jnp.uint8)), self.decode(state, codes)

    def _networks(self, state: AutoencoderState) -> Networks:
        return Networks(self.modules, state.params, state.collections, train=False)
