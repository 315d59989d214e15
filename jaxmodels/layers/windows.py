"""4x4 windows at stride 2, and their adjoint: the linear maps behind every stride-2 convolution here.

With W the kernel as a matrix (16 C, F), a 4x4 stride-2 convolution is `windows(x) @ W`, and the transposed
convolution with the same kernel is its adjoint `fold(y @ W.T)`. Both gradients of both are again made of these
two maps and matrix products, which is what XLA's CPU backend is fast at; its own strided and transposed
convolutions are up to forty times slower in the backward pass. The pair is closed under differentiation of any
order, as a gradient penalty needs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def windows(x: Float[Array, "b h w c"]) -> Float[Array, "b i j k"]:
    """All 4x4 windows of x at stride 2, without padding; h and w even.

    Returns [b, h/2 - 1, w/2 - 1, 16 c], each window flattened in the order (row, column, channel).
    """
    return _windows(x)


@jax.custom_vjp
def fold(y: Float[Array, "b i j k"]) -> Float[Array, "b h w c"]:
    """The adjoint of `windows`: adds every window of [b, i, j, 16 c] into [b, 2 i + 2, 2 j + 2, c]."""
    return _fold(y)


def _windows(x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    rows, columns = height // 2 - 1, width // 2 - 1
    # Two neighbouring pixels and their channels are contiguous: copy them as one run.
    runs = x.reshape(batch, rows + 1, 2, columns + 1, 2 * channels)
    taps = [
        jnp.stack([runs[:, i : i + rows, parity, j : j + columns] for j in (0, 1)], axis=3)
        for i in (0, 1)
        for parity in (0, 1)
    ]
    return jnp.stack(taps, axis=3).reshape(batch, rows, columns, 16 * channels)


def _fold(y: jax.Array) -> jax.Array:
    batch, rows, columns, size = y.shape
    channels = size // 16
    taps = y.reshape(batch, rows, columns, 2, 2, 2, 2 * channels)
    out = sum(
        jnp.pad(
            taps[:, :, :, i, :, j].transpose(0, 1, 3, 2, 4), ((0, 0), (i, 1 - i), (0, 0), (j, 1 - j), (0, 0))
        )
        for i in (0, 1)
        for j in (0, 1)
    )
    return jnp.reshape(out, (batch, 2 * rows + 2, 2 * columns + 2, channels))


windows.defvjp(lambda x: (_windows(x), None), lambda _, g: (fold(g),))
fold.defvjp(lambda y: (_fold(y), None), lambda _, g: (windows(g),))
