"""Reconstruction errors of images, one number per image."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def mean_squared_error(
    images: Float[Array, "N *pixels"], targets: Float[Array, "N *pixels"]
) -> Float[Array, " N"]:
    """Returns each image's squared error, mean over pixels and channels, in squared intensity, in float32."""
    difference = jnp.asarray(images, jnp.float32) - jnp.asarray(targets, jnp.float32)
    return jnp.mean(difference**2, axis=tuple(range(1, difference.ndim)))


def psnr(
    images: Float[Array, "N *pixels"], targets: Float[Array, "N *pixels"], peak: float = 1.0
) -> Float[Array, " N"]:
    """Returns each image's peak signal-to-noise ratio, 20 log10 peak - 10 log10 MSE, in decibel.

    Infinite for an exact copy. The score of a set is the mean of these, not the ratio of the mean error.
    """
    return 20 * math.log10(peak) - 10 * jnp.log10(mean_squared_error(images, targets))


def mean_image_psnr(
    train_images: Float[Array, "M *pixels"], images: Float[Array, "N *pixels"], peak: float = 1.0
) -> Float[Array, " N"]:
    """Returns each image's PSNR, in decibel, against the mean training image: the number to beat."""
    mean = jnp.mean(jnp.asarray(train_images, jnp.float32), axis=0)
    return psnr(jnp.broadcast_to(mean, images.shape), images, peak)
