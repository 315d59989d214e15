"""Distance of images by the features of a network."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

VGG19_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1, in pix2pixHD (Wang et al., CVPR 2018), SPADE and DAGAN."""


def perceptual(
    fake: Sequence[Float[Array, "b ..."]],
    real: Sequence[Float[Array, "b ..."]],
    weights: Sequence[float] = VGG19_WEIGHTS,
) -> Float[Array, ""]:
    """sum_k w_k mean |phi_k(fake) - phi_k(real)|, each mean over the batch and all features: a scalar.

    phi_k(real) is a target: no gradient goes through it.

    Args:
      fake: phi_k of the generated images, for every k.
      real: phi_k of the real ones.
      weights: w_k.

    Raises:
      ValueError: there are not as many of one as of another.
    """
    distances = (
        weight * jnp.mean(jnp.abs(of_fake - jax.lax.stop_gradient(of_real)))
        for weight, of_fake, of_real in zip(weights, fake, real, strict=True)
    )
    return jnp.sum(jnp.stack(list(distances)))
