"""The settings of GauGAN and DAGAN, and the networks that they describe."""

from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import PyTree

from jaxmodels.dagan import DAGANGenerator
from jaxmodels.image_encoder import ImageEncoder
from jaxmodels.layers.augment import Augmentation
from jaxmodels.layers.image_norm import ImageNorm
from jaxmodels.layers.initialisers import ImageInit, image_kernel
from jaxmodels.patch_gan import MultiScaleDiscriminator, PatchDiscriminator
from jaxmodels.pix2pixhd import Pix2PixHDGenerator
from jaxmodels.spade import SPADEGenerator, SPADENorm, Style, Upsampling, latent_grid
from objectives.adversarial import GANLoss
from train.bounds import AtLeast, Must, Positive, Within
from train.errors import UserError
from train.layout import Layout

ODD = Must(lambda size: size > 0 and size % 2 == 1, "odd and above 0")
POWER_OF_TWO = Must(lambda side: side >= 8 and side & (side - 1) == 0, "a power of two from 8 on")


@dataclass(frozen=True, kw_only=True)
class GauGANConfig:
    """Settings of GauGAN and DAGAN; the defaults are those of the official code."""

    generator: Literal["spade", "dagan", "pix2pixhd"] = "spade"
    """`dagan` is SPADE with two attentions; `pix2pixhd` is the baseline that sees the layout as an image."""
    width: Annotated[int, AtLeast(1)] = 64
    """Channels of the generator's last block (ngf), and of the encoder's first."""
    upsampling: Upsampling = "normal"
    """5, 6 or 7 doublings of the size (normal, more, most)."""
    norm: SPADENorm = "syncbatch"
    """Normalisation inside SPADE; `batch` and `syncbatch` are the same, over the global batch."""
    kernel: Annotated[int, ODD] = 3
    """Size of the kernels of SPADE's convolutions, odd."""
    hidden: Annotated[int, AtLeast(1)] = 128
    """Channels between the layout and SPADE's gamma and beta."""
    spectral: bool = True
    """Spectral norm in the generator."""
    attention_scales: Annotated[int, Within(1, 5)] = 1
    """Earlier scales that DAGAN's channel attention sees: 1 in the official code; several in the paper's figure."""
    attention_kernel: Literal[3, 7] = 3
    """Kernel of DAGAN's spatial attention."""
    vae: bool = False
    """The generator starts from a style z that an encoder finds in an image."""
    latent_dim: Annotated[int, AtLeast(1)] = 256
    """Number of style dimensions."""
    encoder_size: Annotated[int, POWER_OF_TWO] = 256
    """Side in pixels that the encoder sees images at; a power of two. The official one needs 256."""
    encoder_norm: ImageNorm = "instance"
    """Normalisation in the encoder; the official `instance` takes the mean colours out."""
    encoder_spectral: bool = True
    """Spectral norm in the encoder."""
    discriminator_width: Annotated[int, AtLeast(1)] = 64
    """Channels of the discriminator's first stage (ndf)."""
    discriminators: Annotated[int, AtLeast(1)] = 2
    """Scales at which images are judged."""
    discriminator_layers: Annotated[int, AtLeast(1)] = 4
    """Stages of each, the logits not counted."""
    discriminator_norm: ImageNorm = "instance"
    """Normalisation of the discriminator's inner stages."""
    discriminator_spectral: bool = True
    """Spectral norm in the discriminator."""
    gan: GANLoss = "hinge"
    """Adversarial loss of both players."""
    coef_features: Annotated[float, AtLeast(0)] = 10.0
    """Weight of feature matching."""
    coef_vgg: Annotated[float, AtLeast(0)] = 10.0
    """Weight of the perceptual loss, which needs `vgg_weights`."""
    vgg_weights: str = ""
    """File with ImageNet weights of VGG19 (.npz, .safetensors, .pth); without one there is no perceptual loss."""
    coef_kl: Annotated[float, AtLeast(0)] = 0.05
    """Weight of the KL term of the styles, which is summed over the whole batch. The official runs sum over the part of
    the batch on one of their eight GPUs: with their batch on one mesh, an eighth of it is equivalent."""
    r1: Annotated[float, AtLeast(0)] = 0.0
    """Weight of the R1 penalty, at real images."""
    gradient_penalty: Annotated[float, AtLeast(0)] = 0.0
    """Weight of the one-centred gradient penalty between real and generated images."""
    learning_rate: Annotated[float, Positive()] = 2e-4
    """Adam's rate: half of it for the generator and twice for the discriminator with `ttur`."""
    ttur: bool = True
    """Two time scales with Adam's betas (0, 0.9); else (0.5, 0.999) and one rate."""
    discriminator_steps: Annotated[int, AtLeast(1)] = 1
    """Updates of the discriminator for each of the generator, n: the generator learns in every n-th update. Its losses
    are logged in all, at the cost of a forward pass, and its gradient norm as 0 where it does not learn."""
    epochs: Annotated[int, AtLeast(0)] = 50
    """Epochs at the full learning rate."""
    decay_epochs: Annotated[int, AtLeast(0)] = 0
    """Further epochs, in which the learning rate falls to 0."""
    init: ImageInit = "xavier"
    """Initialisation of kernels."""
    gain: Annotated[float, Positive()] = 0.02
    """Gain or standard deviation of the initialisation; also the deviation, around 1, of the scales of batch norm."""
    augment: tuple[Augmentation, ...] = ()
    """Differentiable augmentation of what the discriminator sees, for small sets."""
    remat: bool = False
    """Recompute residual blocks in the backward pass: less memory at 512 pixels and above."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the networks; parameters, statistics and losses stay float32."""


def make_modules(config: GauGANConfig, layout: Layout) -> dict[str, nn.Module]:
    """The generator, the discriminator and, with the VAE path, the encoder."""
    dtype = jnp.dtype(config.dtype)
    patch = PatchDiscriminator(
        config.discriminator_width,
        config.discriminator_layers,
        config.discriminator_norm,
        config.discriminator_spectral,
        config.init,
        config.gain,
        dtype,
        parent=None,
    )
    modules = {
        "generator": _generator(config),
        "discriminator": MultiScaleDiscriminator(config.discriminators, patch),
    }
    if config.vae:
        modules["encoder"] = ImageEncoder(
            config.width,
            config.latent_dim,
            config.encoder_size,
            config.encoder_norm,
            config.encoder_spectral,
            config.init,
            config.gain,
            dtype,
        )
    return modules


def _generator(config: GauGANConfig) -> nn.Module:
    style = Style(
        norm=config.norm,
        kernel=config.kernel,
        hidden=config.hidden,
        spectral=config.spectral,
        init=config.init,
        gain=config.gain,
        remat=config.remat,
        dtype=jnp.dtype(config.dtype),
    )
    match config.generator:
        case "spade":
            return SPADEGenerator(config.width, config.upsampling, style)
        case "dagan":
            scales, size = config.attention_scales, config.attention_kernel
            return DAGANGenerator(config.width, config.upsampling, style, scales, size)
    return Pix2PixHDGenerator(config.width, style=style)


def init_networks(key: jax.Array, config: GauGANConfig, layout: Layout) -> dict[str, PyTree]:
    """Fresh variables of every network.

    All random numbers are one draw, cut into pieces: each draw of its own takes XLA a second to compile, and there are
    hundreds of arrays. The laws are those of the modules' own initialisers.
    """
    size = (2, layout.height, layout.width)
    sem, image = jnp.zeros((*size, layout.channels)), jnp.zeros((*size, 3))
    inputs = {
        "generator": (sem, jnp.zeros((2, config.latent_dim)) if config.vae else None),
        "discriminator": (jnp.concatenate([sem, image], -1),),
        "encoder": (image,),
    }
    modules = make_modules(config, layout)
    shapes = jax.eval_shape(
        lambda key: {name: m.init(key, *inputs[name], False) for name, m in modules.items()}, key
    )
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    ends = np.cumsum([leaf.size for _, leaf in leaves])
    numbers = jax.random.normal(key, (ends[-1],))
    pieces = [
        numbers[end - leaf.size : end].reshape(leaf.shape)
        for end, (_, leaf) in zip(ends, leaves, strict=True)
    ]
    values = [_variable(path[-1].key, n, config) for (path, _), n in zip(leaves, pieces, strict=True)]
    return jax.tree_util.tree_unflatten(tree, values)


def _variable(name: str, numbers: jax.Array, config: GauGANConfig) -> jax.Array:
    match name:
        case "kernel":
            return image_kernel(numbers, config.init, config.gain)
        case "scale":
            return 1 + config.gain * numbers
        case "u" | "v":
            return numbers / jnp.linalg.norm(numbers)
        case "var":
            return jnp.ones_like(numbers)
    return jnp.zeros_like(numbers)


def check(config: GauGANConfig, layout: Layout) -> None:
    """Raises UserError for settings that don't fit together, or don't fit the images."""
    most = config.upsampling == "most"
    if most and config.width < 2:
        problem = "must be at least 2 with the upsampling `most`"
        raise UserError("--model.width", config.width, problem, "give 2 or more")
    if not most and config.attention_scales > 4:
        problem = "must be at most 4, or 5 with the upsampling `most`"
        raise UserError("--model.attention-scales", config.attention_scales, problem, "give 4 or fewer")
    if config.generator == "pix2pixhd":
        _check_pix2pixhd(config, layout)
        return
    try:
        latent_grid(layout.height, layout.width, config.upsampling)
    except ValueError as error:
        remedy = "change --data.crop-size or --data.aspect-ratio, or take fewer doublings"
        raise UserError("--model.upsampling", config.upsampling, f"does not fit: {error}", remedy) from error


def _check_pix2pixhd(config: GauGANConfig, layout: Layout) -> None:
    if config.vae:
        raise UserError("--model.vae", True, "pix2pixHD has no style", "take the generator spade or dagan")
    if layout.height % 16 or layout.width % 16 or min(layout.height, layout.width) < 32:
        size = f"{layout.height} x {layout.width}"
        raise UserError("--data.crop-size", size, "is not a multiple of 16 of at least 32", "change the size")
