"""Batch normalisation with torch's statistics."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

COLLECTION = "batch_stats"


class BatchNorm(nn.Module):
    """Batch normalisation over every axis but the last, as `torch.nn.BatchNorm` computes it.

    Train mode normalises with the batch's mean and biased variance, and moves the running mean and the
    running *unbiased* variance towards the batch's by `momentum` (the weight of the new value, unlike flax).
    Under `jit` over a sharded batch the statistics are those of the global batch. Raises where the batch
    has a single element, whose unbiased variance does not exist.
    """

    momentum: float = 0.1
    affine: bool = True
    epsilon: float = 1e-5
    scale_init: Callable[..., jax.Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "... c"], train: bool) -> Float[Array, "... c"]:
        size = x.shape[-1:]
        mean = self.variable(COLLECTION, "mean", jnp.zeros, size)
        variance = self.variable(COLLECTION, "var", jnp.ones, size)
        values = x.astype(jnp.float32).reshape(-1, *size)
        if train:
            count = values.shape[0]
            if count < 2:
                raise ValueError(f"batch normalisation in train mode needs at least two values, got {count}")
            batch_mean, batch_variance = values.mean(0), values.var(0)
            if not self.is_initializing():
                unbiased = batch_variance * (count / (count - 1))
                mean.value += self.momentum * (batch_mean - mean.value)
                variance.value += self.momentum * (unbiased - variance.value)
        else:
            batch_mean, batch_variance = mean.value, variance.value
        out = (values - batch_mean[None]) * (batch_variance + self.epsilon)[None] ** -0.5
        if self.affine:
            scale = self.param("scale", self.scale_init, size)
            bias = self.param("bias", nn.initializers.zeros, size)
            out = out * scale[None] + bias[None]
        return out.reshape(x.shape).astype(x.dtype)
