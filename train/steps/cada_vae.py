"""One update of CADA-VAE (Schoenfeld et al., CVPR 2019): a VAE per modality, aligned in one latent space.

Modalities are named: "image", and the others are side information of the example's class ("attributes", "sentences",
...), two or more in all. `sizes` maps each to its number of features, and its order is the order of the modalities
wherever one is needed, as trees of arrays forget theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.cada_vae import Decoder, Encoder, NoiseLaw, noise_width, reparameterise
from objectives.alignment import (
    Criterion,
    Pairs,
    cross_alignment,
    distribution_alignment,
    ramp,
    self_reconstruction,
)
from objectives.elbo import kl_standard_normal
from train.bounds import AtLeast, Must, Positive
from train.devices import across_devices, on_any_mesh
from train.errors import UserError
from train.steps.amsgrad import amsgrad
from train.update import Metrics, State, descend, fresh, noise_key

IMAGE = "image"
Batch = Mapping[str, Float[Array, "b _"]]
HIDDEN = Must(lambda sizes: len(sizes) in (2, 3), "one or two sizes of the encoder and one of the decoder")


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A weight that warms up with the epoch: 0 up to `start`, then linear, `factor` from `end` on."""

    start: int
    """Last epoch of weight 0."""
    end: int
    """First epoch of the full weight."""
    factor: Annotated[float, AtLeast(0)]
    """The full weight; 0 leaves the term out."""


@dataclass(frozen=True, kw_only=True)
class CADAVAEConfig:
    """Settings of CADA-VAE; the defaults are those of the official code, the same for every data set."""

    latent_dim: Annotated[int, AtLeast(2)] = 64
    """Number of latent dimensions L."""
    image_hidden: Annotated[tuple[Annotated[int, AtLeast(1)], ...], HIDDEN] = (1560, 1660)
    """Hidden layers for image features: one or two of the encoder, then that of the decoder."""
    side_hidden: Annotated[tuple[Annotated[int, AtLeast(1)], ...], HIDDEN] = (1450, 665)
    """Hidden layers for class side information: one or two of the encoder, then that of the decoder."""
    noise: NoiseLaw = "official"
    """Sampling of latents: one random number per example, scaled by the variance, as in the official code; or one
    per dimension, scaled by the standard deviation, as in the paper."""
    reconstruction: Criterion = "l1"
    """Absolute or squared errors."""
    distribution_pairs: Pairs = "unordered"
    """Pairs of modalities in the distribution alignment: once, as in the official code, or twice, as in the paper."""
    kl: Ramp = Ramp(start=0, end=93, factor=0.25)
    """Weight beta of the KL terms."""
    cross_alignment: Ramp = Ramp(start=21, end=75, factor=2.37)
    """Weight gamma of the cross alignment; its factor 0 makes DA-VAE."""
    distribution_alignment: Ramp = Ramp(start=6, end=22, factor=8.13)
    """Weight delta of the distribution alignment; its factor 0 makes CA-VAE."""
    learning_rate: Annotated[float, Positive()] = 1.5e-4
    """Learning rate, for losses that are sums over the batch."""
    epochs: Annotated[int, AtLeast(1)] = 100
    """Epochs of training."""


CADAVAEState = State
"""params: {modality: {"encoder", "decoder"}}."""


class Weights(NamedTuple):
    """Of the KL terms, the cross alignment and the distribution alignment."""

    beta: Float[Array, ""]
    gamma: Float[Array, ""]
    delta: Float[Array, ""]


def check(config: CADAVAEConfig, flag: str = "--model") -> None:
    """Raises UserError for a weight that does not rise; `flag` is what the settings begin with."""
    for name, weight in (
        ("kl", config.kl),
        ("cross-alignment", config.cross_alignment),
        ("distribution-alignment", config.distribution_alignment),
    ):
        if weight.end <= weight.start:
            remedy = f"give at least {weight.start + 1}"
            raise UserError(
                f"{flag}.{name}.end", weight.end, f"is not after the start {weight.start}", remedy
            )


def encoder(config: CADAVAEConfig, modality: str) -> Encoder:
    """The encoder of a modality."""
    return Encoder(config.latent_dim, _hidden(config, modality)[:-1])


def decoder(config: CADAVAEConfig, modality: str, size: int) -> Decoder:
    """The decoder of a modality with `size` features."""
    return Decoder(size, _hidden(config, modality)[-1])


def _hidden(config: CADAVAEConfig, modality: str) -> tuple[int, ...]:
    return config.image_hidden if modality == IMAGE else config.side_hidden


def init_state(key: jax.Array, config: CADAVAEConfig, sizes: Mapping[str, int]) -> CADAVAEState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, *keys = jax.random.split(key, 1 + 2 * len(sizes))
    params = {}
    for (modality, size), encoder_key, decoder_key in zip(sizes.items(), keys[::2], keys[1::2], strict=True):
        x, z = jnp.zeros((1, size)), jnp.zeros((1, config.latent_dim))
        params[modality] = {
            "encoder": encoder(config, modality).init(encoder_key, x)["params"],
            "decoder": decoder(config, modality, size).init(decoder_key, z)["params"],
        }
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: CADAVAEConfig) -> optax.GradientTransformation:
    """One AMSGrad over all networks."""
    return amsgrad(config.learning_rate)


@on_any_mesh
def train_step(
    state: CADAVAEState, batch: Batch, config: CADAVAEConfig, sizes: Mapping[str, int], steps_per_epoch: int
) -> tuple[CADAVAEState, Metrics]:
    """One update on {modality: [b, d]}; pure, its noise is a function of (key, step), its weights of the epoch."""
    noise = draw_noise(noise_key(state), len(batch[IMAGE]), config, sizes)
    return update(state, batch, noise, state.step // steps_per_epoch, config, sizes)


def draw_noise(
    key: jax.Array, size: int, config: CADAVAEConfig, sizes: Mapping[str, int]
) -> dict[str, Float[Array, "b w"]]:
    """The posterior noise of one update on `size` examples."""
    shape = (len(sizes), size, noise_width(config.noise, config.latent_dim))
    return dict(zip(sizes, jax.random.normal(key, shape), strict=True))


def weights_at(epoch: Int[Array, ""] | int, config: CADAVAEConfig) -> Weights:
    """The weights in an epoch, 0-based."""
    ramps = (config.kl, config.cross_alignment, config.distribution_alignment)
    return Weights(*(ramp(epoch, r.start, r.end, r.factor) for r in ramps))


def update(
    state: CADAVAEState,
    batch: Batch,
    noise: Batch,
    epoch: Int[Array, ""] | int,
    config: CADAVAEConfig,
    sizes: Mapping[str, int],
) -> tuple[CADAVAEState, Metrics]:
    """One AMSGrad update with given noise and epoch."""
    batch, noise = across_devices((batch, noise))
    given = batch, noise, weights_at(epoch, config), config, sizes
    step = descend(loss, optimiser(config), state.params, state.optimiser, *given)
    # Not update.gradient_norm: on a CPU its care about overflow takes a twentieth of this step.
    metrics = {**step.said, "gradient_norm": optax.tree.norm(step.gradient)}
    return state.replace(step=state.step + 1, params=step.params, optimiser=step.optimiser), metrics


def loss(
    params: PyTree,
    batch: Batch,
    noise: Batch,
    weights: Weights,
    config: CADAVAEConfig,
    sizes: Mapping[str, int],
) -> tuple[Float[Array, ""], Metrics]:
    """R + beta KL + gamma L_CA + delta L_DA, and its terms: all are sums over the batch, as published."""
    x = [batch[modality] for modality in sizes]
    posteriors = [encode(params, config, modality, batch[modality]) for modality in sizes]
    z = jnp.stack(
        [
            reparameterise(mu, logvar, noise[modality], config.noise)
            for modality, (mu, logvar) in zip(sizes, posteriors, strict=True)
        ]
    )
    decoded = [decode(params, config, modality, size, z) for modality, size in sizes.items()]
    kl = sum((kl_standard_normal(mu, logvar) for mu, logvar in posteriors), jnp.zeros(()))
    terms = {
        "reconstruction": jnp.sum(self_reconstruction(x, decoded, config.reconstruction)),
        "kl": jnp.sum(kl),
        "cross_alignment": jnp.sum(cross_alignment(x, decoded, config.reconstruction)),
        "distribution_alignment": jnp.sum(distribution_alignment(posteriors, config.distribution_pairs)),
    }
    total = (
        terms["reconstruction"]
        + weights.beta * terms["kl"]
        + weights.gamma * terms["cross_alignment"]
        + weights.delta * terms["distribution_alignment"]
    )
    return total, {"loss": total, **terms, **weights._asdict()}


def encode(
    params: PyTree, config: CADAVAEConfig, modality: str, x: Float[Array, "b d"]
) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
    """(mu, logvar) of q(z|x)."""
    encoded: Any = encoder(config, modality).apply({"params": params[modality]["encoder"]}, x)
    return encoded


def decode(
    params: PyTree, config: CADAVAEConfig, modality: str, size: int, z: Float[Array, "... l"]
) -> Float[Array, "... d"]:
    """The `size` features of a modality that codes of any modality stand for."""
    decoded: Any = decoder(config, modality, size).apply({"params": params[modality]["decoder"]}, z)
    return decoded


def draw(
    mu: Float[Array, "b l"], logvar: Float[Array, "b l"], key: jax.Array, config: CADAVAEConfig
) -> Float[Array, "b l"]:
    """A latent sample of each posterior, by the configured noise."""
    noise = jax.random.normal(key, (len(mu), noise_width(config.noise, config.latent_dim)))
    return reparameterise(mu, logvar, noise, config.noise)


def sample_latents(
    params: PyTree, config: CADAVAEConfig, modality: str, x: Float[Array, "b d"], key: jax.Array
) -> Float[Array, "b l"]:
    """A latent sample of each example, by the configured noise."""
    return draw(*encode(params, config, modality, x), key, config)
