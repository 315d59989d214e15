"""The normalisations that the layers of image discriminators and encoders have a choice of."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmodels.layers.batch_norm import BatchNorm
from jaxmodels.layers.instance_norm import instance_norm

ImageNorm = Literal["instance", "batch", "none"]


def normalised(
    x: Float[Array, "b h w c"], norm: ImageNorm, train: bool, name: str, deviation: float
) -> Float[Array, "b h w c"]:
    """Instance norm without parameters, batch norm as a submodule `name` of the calling one, or x as it is.

    The scales of batch norm start as N(1, deviation^2), as in pix2pix.
    """
    if norm == "instance":
        return instance_norm(x)
    if norm == "batch":
        return BatchNorm(scale_init=around_one(deviation), name=name)(x, train)
    return x


def around_one(deviation: float) -> Callable[..., jax.Array]:
    """N(1, deviation^2)."""

    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return 1 + deviation * jax.random.normal(key, shape, dtype)

    return init
