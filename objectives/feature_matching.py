"""Feature matching between real and generated images (Wang et al. 2018, eq. 4)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Features = Sequence[Sequence[Float[Array, "b ..."]]]


def feature_matching(fake: Features, real: Features) -> Float[Array, ""]:
    """Mean over discriminators of the sum over their stages of the mean absolute difference; a scalar.

    Args:
      fake: for every discriminator the outputs of its stages without the logits, on generated images.
      real: the same on the real images: targets, without gradient.
    """
    distances = [
        jnp.mean(jnp.abs(f - jax.lax.stop_gradient(r)))
        for fakes, reals in zip(fake, real, strict=True)
        for f, r in zip(fakes, reals, strict=True)
    ]
    return sum(distances, jnp.zeros(())) / len(fake)
