"""What a network sees of a label map: one channel per class, and the edges between instances."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def semantics(
    label: Int[Array, "b h w"], channels: int, instance: Int[Array, "b h w"] | None = None
) -> Float[Array, "b h w s"]:
    """One-hot labels, then the instance edges as the last channel where there are instances.

    Args:
      label: 0 .. channels - 1; a label outside is a pixel of zeros, as readers of label maps refuse it.
      channels: classes, and one more where pixels may be unknown.
      instance: integers that differ between instances.
    """
    one_hot = jax.nn.one_hot(label, channels)
    if instance is None:
        return one_hot
    return jnp.concatenate([one_hot, instance_edges(instance)[..., None]], axis=-1)


def instance_edges(instance: Int[Array, "b h w"]) -> Float[Array, "b h w"]:
    """1 where a pixel's instance differs from that of one of its four neighbours inside the image, else 0."""
    rows = instance[:, 1:] != instance[:, :-1]
    columns = instance[:, :, 1:] != instance[:, :, :-1]
    edges = jnp.pad(rows, ((0, 0), (1, 0), (0, 0))) | jnp.pad(rows, ((0, 0), (0, 1), (0, 0)))
    edges |= jnp.pad(columns, ((0, 0), (0, 0), (1, 0))) | jnp.pad(columns, ((0, 0), (0, 0), (0, 1)))
    return edges.astype(jnp.float32)
