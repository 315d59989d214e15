"""Frozen networks whose weights a user names: the perceptual loss, Frechet distance and KID, LPIPS."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxmodels.features.efficientnet_lite import EfficientNetLite
from jaxmodels.features.inception_fid import InceptionFID
from jaxmodels.features.lpips import LPIPS, Backbone
from jaxmodels.features.vgg import VGG, VGG19_PERCEPTUAL
from jaxmodels.torch_import import efficientnet_lite, inception_fid, lpips, vgg
from objectives.perceptual import perceptual
from train.errors import UserError
from train.steps.gaugan import Perceptual
from train.steps.gaugan_networks import GauGANConfig
from train.weights.files import read_weights

FeatureNetwork = Literal["efficientnet-lite0", "inception-fid"]
Features = Callable[[UInt8[np.ndarray, "b h w 3"]], Float[np.ndarray, "b d"]]
Distance = Callable[[UInt8[np.ndarray, "b h w 3"], UInt8[np.ndarray, "b h w 3"]], Float[np.ndarray, " b"]]


def open_perceptual(config: GauGANConfig) -> Perceptual | None:
    """The perceptual loss on VGG19; None where it is off or no weights are named.

    Raises:
      UserError: the weights can't be read, or are not VGG19's.
    """
    if not (config.coef_vgg and config.vgg_weights):
        return None
    reading = partial(vgg.import_state_dict, taps=VGG19_PERCEPTUAL)
    variables = _open("--model.vgg-weights", config.vgg_weights, reading)
    taps: Any = partial(VGG(VGG19_PERCEPTUAL).apply, variables)
    return lambda fake, real: perceptual(taps(fake), taps(real))


def open_features(network: FeatureNetwork, path: Path) -> Features:
    """The features of images in bytes.

    Raises:
      UserError: the weights can't be read, or are another network's.
    """
    if network == "inception-fid":
        module, reading = InceptionFID(), inception_fid.import_state_dict
    else:
        module, reading = EfficientNetLite(), efficientnet_lite.import_state_dict
    variables = _open("--evaluate.feature-weights", path, reading)
    apply = jax.jit(lambda variables, images: module.apply(variables, images / 127.5 - 1))
    return lambda images: np.asarray(apply(variables, jnp.asarray(images, jnp.float32)))


def open_lpips(network: Backbone, backbone: Path, heads: Path) -> Distance:
    """LPIPS v0.1 between images in bytes.

    Raises:
      UserError: the weights can't be read, or are another network's.
    """
    weights = read_weights(heads, "--evaluate.lpips-weights")
    variables = _open(
        "--evaluate.lpips-weights", backbone, lambda given: lpips.import_state_dicts(given, weights, network)
    )
    module = LPIPS(network)
    apply = jax.jit(lambda variables, a, b: module.apply(variables, a / 127.5 - 1, b / 127.5 - 1))
    return lambda a, b: np.asarray(apply(variables, jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)))


def _open(flag: str, path: str | Path, reading: Callable[[dict], Any]) -> Any:
    try:
        return reading(read_weights(path, flag))
    except ValueError as error:
        raise UserError(
            flag, path, f"is of another network: {error}", "give that network's weights"
        ) from error
