"""One update of GauGAN or DAGAN (Park et al., CVPR 2019; Tang et al., ACM MM 2020): generator, then discriminator.

As in the official code an update in which both learn runs the generator twice and the discriminator twice in train
mode: running statistics and power iterations advance with every pass, even where no gradient is taken.
"""

from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from jaxmodels.layers.augment import Draw, augment, draw
from jaxmodels.semantics import semantics
from jaxmodels.vae import reparameterise
from objectives.adversarial import (
    generator_loss,
    gradient_penalty,
    interpolate,
    loss_on_fake,
    loss_on_real,
    r1_penalty,
)
from objectives.elbo import kl_standard_normal
from objectives.feature_matching import feature_matching
from train.devices import across_devices, on_any_mesh
from train.layout import UNKNOWN, Layout
from train.networks import Networks, split_collections
from train.steps.gaugan_networks import GauGANConfig, init_networks, make_modules
from train.steps.image_types import require_bytes
from train.update import Metrics, gradient_norm

Batch = Mapping[str, Array]
Perceptual = Callable[[Float[Array, "b h w 3"], Float[Array, "b h w 3"]], Float[Array, ""]]
"""The distance of generated and real images in the features of a frozen network (`objectives.perceptual`)."""


class GauGANState(flax.struct.PyTreeNode):
    """params and collections: {"generator", "discriminator", and "encoder" with the VAE path}; optimisers: of the two
    players, the encoder's parameters being the generator's."""

    step: jax.Array
    params: PyTree
    collections: PyTree
    optimisers: dict[str, PyTree]
    key: jax.Array


class StepNoise(flax.struct.PyTreeNode):
    """Every random number of one update; `posterior` is None without the VAE path."""

    posterior: Float[Array, "2 b z"] | None
    augmentation: tuple[Draw, Draw]
    """Of the generator's and of the discriminator's turn."""
    penalty: Float[Array, " b"]
    """t in [0, 1) of the gradient penalty's points."""


def init_state(key: jax.Array, config: GauGANConfig, layout: Layout) -> GauGANState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, weights_key = jax.random.split(key)
    return fresh_state(init_networks(weights_key, config, layout), run_key, config)


def fresh_state(networks: Mapping[str, PyTree], run_key: jax.Array, config: GauGANConfig) -> GauGANState:
    """The state before the first update of networks {name: variables}."""
    split = {name: split_collections(variables) for name, variables in networks.items()}
    params = {name: own for name, (own, _) in split.items()}
    return GauGANState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections={name: others for name, (_, others) in split.items()},
        optimisers={
            player: _adam(config).init({name: params[name] for name in names})
            for player, names in _players(config).items()
        },
        key=run_key,
    )


def _players(config: GauGANConfig) -> dict[str, tuple[str, ...]]:
    return {
        "generator": ("generator", "encoder") if config.vae else ("generator",),
        "discriminator": ("discriminator",),
    }


def _adam(config: GauGANConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(*((0.0, 0.9) if config.ttur else (0.5, 0.999)), eps=1e-8)


def learning_rates(epoch: Int[Array, ""] | int, config: GauGANConfig) -> dict[str, Float[Array, ""]]:
    """Of both players in an epoch, 0-based: constant for `epochs`, then falling to 0 over `decay_epochs`.

    Like the official code, which subtracts at the end of an epoch, so that the first of the decay is at the full rate.
    """
    late = jnp.maximum(0, jnp.asarray(epoch) - config.epochs)
    rate = config.learning_rate * (1 - late / max(config.decay_epochs, 1) * (config.decay_epochs > 0))
    rate = jnp.maximum(rate, 0.0)
    return (
        {"generator": rate / 2, "discriminator": rate * 2}
        if config.ttur
        else dict.fromkeys(("generator", "discriminator"), rate)
    )


@on_any_mesh
def train_step(
    state: GauGANState,
    batch: Batch,
    config: GauGANConfig,
    layout: Layout,
    steps_per_epoch: int,
    perceptual: Perceptual | None = None,
) -> tuple[GauGANState, Metrics]:
    """One update on a batch of `train.layout.Layout`; pure, its noise is a function of (key, step)."""
    noise = draw_noise(jax.random.fold_in(state.key, state.step), len(batch["label"]), config)
    return update(state, batch, noise, config, layout, steps_per_epoch, perceptual)


def draw_noise(key: jax.Array, size: int, config: GauGANConfig) -> StepNoise:
    """Every random number of one update on `size` examples."""
    posterior_key, penalty_key, *augmentation_keys = jax.random.split(key, 4)
    shape = (2, size, config.latent_dim)
    return StepNoise(
        posterior=jax.random.normal(posterior_key, shape) if config.vae else None,
        augmentation=(draw(augmentation_keys[0], size), draw(augmentation_keys[1], size)),
        penalty=jax.random.uniform(penalty_key, (size,)),
    )


def update(
    state: GauGANState,
    batch: Batch,
    noise: StepNoise,
    config: GauGANConfig,
    layout: Layout,
    steps_per_epoch: int,
    perceptual: Perceptual | None = None,
) -> tuple[GauGANState, Metrics]:
    """One update with given noise: the generator's where it is due, then the discriminator's."""
    batch = across_devices(dict(batch))
    sem, real = see(batch, layout), signed_pixels(batch["image"])
    rates = learning_rates(state.step // steps_per_epoch, config)

    def objective(
        params: PyTree, others: PyTree, collections: PyTree
    ) -> tuple[jax.Array, tuple[Metrics, PyTree]]:
        return generator_objective(
            {**others, **params}, collections, sem, real, noise, config, layout, perceptual
        )

    def generator(state: GauGANState) -> tuple[GauGANState, Metrics]:
        return _play(state, "generator", objective, rates["generator"], config)

    def rest(state: GauGANState) -> tuple[GauGANState, Metrics]:
        """The generator's losses for the log: this pass, which the official code does not make, changes nothing."""
        _, (metrics, _) = objective({}, state.params, state.collections)
        return state, {**metrics, "generator_gradient_norm": jnp.zeros(())}

    def discriminator(state: GauGANState) -> tuple[GauGANState, Metrics]:
        loss = lambda params, others, collections: discriminator_objective(  # noqa: E731
            {**others, **params}, collections, sem, real, noise, config, layout
        )
        return _play(state, "discriminator", loss, rates["discriminator"], config)

    every = config.discriminator_steps
    if every == 1:
        state, metrics = generator(state)
    else:
        state, metrics = jax.lax.cond(state.step % every == 0, generator, rest, state)
    state, of_discriminator = discriminator(state)
    return state.replace(step=state.step + 1), metrics | of_discriminator


def _play(
    state: GauGANState,
    player: str,
    objective: Callable[[PyTree, PyTree, PyTree], tuple[jax.Array, tuple[Metrics, PyTree]]],
    learning_rate: Float[Array, ""],
    config: GauGANConfig,
) -> tuple[GauGANState, Metrics]:
    """One Adam update of one player's networks."""
    own = {name: state.params[name] for name in _players(config)[player]}
    gradient, (metrics, collections) = jax.grad(objective, has_aux=True)(own, state.params, state.collections)
    updates, adam = _adam(config).update(gradient, state.optimisers[player], own)
    own = jax.tree.map(lambda p, u: p - learning_rate * u, own, updates)
    metrics[f"{player}_gradient_norm"] = gradient_norm(gradient)
    state = state.replace(
        params={**state.params, **own},
        collections=collections,
        optimisers={**state.optimisers, player: adam},
    )
    return state, metrics


def generator_objective(
    params: PyTree,
    collections: PyTree,
    sem: Float[Array, "b h w s"],
    real: Float[Array, "b h w 3"],
    noise: StepNoise,
    config: GauGANConfig,
    layout: Layout,
    perceptual: Perceptual | None,
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """L_GAN + 10 L_features + 10 L_VGG + 0.05 L_KL, its (weighted) terms, and the collections that advanced."""
    networks = Networks(make_modules(config, layout), params, collections, train=True)
    fake, posterior = _fake(networks, sem, real, None if noise.posterior is None else noise.posterior[0])
    on_fake, on_real = _judge(networks, sem, fake, real, noise.augmentation[0], config)
    terms = {"loss_gan": _over_scales(on_fake, lambda logits: generator_loss(logits, config.gan))}
    if config.coef_features:
        stages = [[scale[:-1] for scale in side] for side in (on_fake, on_real)]
        terms["loss_features"] = config.coef_features * feature_matching(*stages)
    if perceptual is not None:
        terms["loss_vgg"] = config.coef_vgg * perceptual(fake, real)
    if posterior is not None:
        # Over the batch the official code sums, where every other loss is a mean.
        terms["loss_kl"] = config.coef_kl * jnp.sum(kl_standard_normal(*posterior))
    loss = sum(terms.values(), jnp.zeros(()))
    return loss, ({"loss": loss, **terms}, networks.collections)


def discriminator_objective(
    params: PyTree,
    collections: PyTree,
    sem: Float[Array, "b h w s"],
    real: Float[Array, "b h w 3"],
    noise: StepNoise,
    config: GauGANConfig,
    layout: Layout,
) -> tuple[Float[Array, ""], tuple[Metrics, PyTree]]:
    """D_fake + D_real on an image that is generated anew, with fresh style, and penalties where asked for."""
    networks = Networks(make_modules(config, layout), params, collections, train=True)
    fake, _ = _fake(networks, sem, real, None if noise.posterior is None else noise.posterior[1])
    fake = jax.lax.stop_gradient(fake)
    on_fake, on_real = _judge(networks, sem, fake, real, noise.augmentation[1], config)
    d_fake = _over_scales(on_fake, lambda logits: loss_on_fake(logits, config.gan))
    d_real = _over_scales(on_real, lambda logits: loss_on_real(logits, config.gan))
    loss = d_fake + d_real + _penalties(networks, sem, fake, real, noise.penalty, config)
    metrics = {
        "discriminator_loss": loss,
        "discriminator_on_fake": d_fake,
        "discriminator_on_real": d_real,
        "logits_fake": _over_scales(on_fake, lambda logits: logits),
        "logits_real": _over_scales(on_real, lambda logits: logits),
        "fake_std": jnp.std(fake, axis=0).mean(),
    }
    return loss, (metrics, networks.collections)


def _fake(
    networks: Networks, sem: jax.Array, real: jax.Array, noise: jax.Array | None
) -> tuple[Float[Array, "b h w 3"], tuple[jax.Array, jax.Array] | None]:
    """Images for the layouts, in the style of the real ones where there is an encoder, and its posterior."""
    if noise is None:
        return networks("generator", sem, None), None
    mu, logvar = networks("encoder", real)
    z = reparameterise(mu, logvar, across_devices(noise))
    return networks("generator", sem, z), (mu, logvar)


def _judge(
    networks: Networks, sem: jax.Array, fake: jax.Array, real: jax.Array, moved: Draw, config: GauGANConfig
) -> tuple[list, list]:
    """The discriminator's stages on fakes and on reals, which go through it as one batch, fakes first."""
    pairs = [augment(moved, sem, image, config.augment) for image in (fake, real)]
    both = jnp.concatenate([jnp.concatenate(pair, -1) for pair in pairs])
    stages = [[s.astype(jnp.float32) for s in scale] for scale in networks("discriminator", both)]
    size = len(fake)
    return [[s[:size] for s in scale] for scale in stages], [[s[size:] for s in scale] for scale in stages]


def _over_scales(stages: list, loss: Callable[[jax.Array], jax.Array]) -> Float[Array, ""]:
    """Mean over scales of the mean over logits."""
    return jnp.mean(jnp.stack([jnp.mean(loss(scale[-1])) for scale in stages]))


def _penalties(
    networks: Networks, sem: jax.Array, fake: jax.Array, real: jax.Array, t: jax.Array, config: GauGANConfig
) -> Float[Array, ""]:
    frozen = Networks(networks.modules, networks.params, networks.collections, train=False)

    def critic(image: jax.Array) -> Float[Array, " b"]:
        scales = frozen("discriminator", jnp.concatenate([sem, image], -1))
        return jnp.mean(
            jnp.stack([scale[-1].astype(jnp.float32).mean((1, 2, 3)) for scale in scales]), axis=0
        )

    penalty = jnp.zeros(())
    if config.r1:
        penalty += config.r1 * jnp.mean(r1_penalty(critic, real))
    if config.gradient_penalty:
        points = interpolate(real, fake, across_devices(t))
        penalty += config.gradient_penalty * jnp.mean(gradient_penalty(critic, points))
    return penalty


def see(batch: Batch, layout: Layout) -> Float[Array, "b h w s"]:
    """What the networks see of the label and instance maps of a batch.

    Unknown pixels are label L in a batch; 255, which they are in files, means the same where it is not a class.
    """
    label, classes = batch["label"], layout.classes + layout.dont_care
    if layout.dont_care and layout.classes <= UNKNOWN:
        label = jnp.where(label == UNKNOWN, layout.classes, label)
    return semantics(label, classes, batch["instance"] if layout.instances else None)


def signed_pixels(image: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """uint8 images as float32 in [-1, 1].

    Raises:
      TypeError: they are not uint8.
    """
    return require_bytes(image).astype(jnp.float32) / 127.5 - 1


def to_bytes(image: Float[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
    """[-1, 1] to uint8, truncated as in the official code."""
    return jnp.clip((image + 1) / 2 * 255, 0, 255).astype(jnp.uint8)


def generate(
    state: GauGANState, batch: Batch, z: Float[Array, "b z"] | None, config: GauGANConfig, layout: Layout
) -> Float[Array, "b h w 3"]:
    """Images in (-1, 1) for layouts, in eval mode; z is None without the VAE path."""
    return _trained(state, config, layout)("generator", see(batch, layout), z)


def encode(
    state: GauGANState, image: UInt8[Array, "b h w 3"], config: GauGANConfig, layout: Layout
) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
    """(mu, logvar) of the style of images, in eval mode."""
    return _trained(state, config, layout)("encoder", signed_pixels(image))


def _trained(state: GauGANState, config: GauGANConfig, layout: Layout) -> Networks:
    return Networks(make_modules(config, layout), state.params, state.collections, train=False)
