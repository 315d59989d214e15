"""Stride-2 convolutions down and up, in the form that suits the platform."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.initialisers import fan_in_uniform
from jaxmodels.layers.spectral_norm import spectral_norm
from jaxmodels.layers.windows import fold, windows

Form = Literal["platform", "lax", "matrix"]
_form: ContextVar[Form] = ContextVar("convolution_form", default="platform")
_LAYOUT = ("NHWC", "HWIO", "NHWC")


@contextmanager
def convolution_form(form: Form) -> Iterator[None]:
    """Traces every convolution inside as `lax` convolutions or as `matrix` products, whatever the platform.

    The benchmark compares the two; elsewhere the default `platform` takes matrix products on CPU.
    """
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)


def down_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c f"], padding: Literal["zeros", "edge"] = "zeros"
) -> Float[Array, "b h/2 w/2 f"]:
    """4x4 convolution, stride 2, padding 1 of zeros or of repeated edge pixels; h and w even."""
    mode = "constant" if padding == "zeros" else "edge"
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)
    return by_platform(_down_lax, _down_matrix, padded, kernel)


def up_convolution(
    y: Float[Array, "b h w f"], kernel: Float[Array, "4 4 c f"]
) -> Float[Array, "b 2*h 2*w c"]:
    """4x4 transposed convolution, stride 2, padding 1: the adjoint of `down_convolution` with the same kernel."""
    return by_platform(_up_lax, _up_matrix, y, kernel)


def strided_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c f"], padding: int
) -> Float[Array, "b i j f"]:
    """Convolution of stride 2 with `padding` zeros on every side, k at most 4; i = (h + 2 padding - k) // 2 + 1.

    It is the 4x4 convolution whose kernel has zeros after its own last row and column.
    """
    size = kernel.shape[0]
    out = [(side + 2 * padding - size) // 2 + 1 for side in x.shape[1:3]]
    whole = jnp.pad(kernel, ((0, 4 - size), (0, 4 - size), (0, 0), (0, 0)))
    sides = [(padding, 2 * n + 2 - padding - side) for n, side in zip(out, x.shape[1:3], strict=True)]
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*side, 0) for side in sides), (0, 0, 0)])
    return by_platform(_down_lax, _down_matrix, padded, whole)


def by_platform(lax_form: Callable, matrix_form: Callable, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """What the one form or the other makes of (x, kernel): matrix products on CPU, unless `convolution_form` says."""
    form = _form.get()
    if form == "platform":
        return jax.lax.platform_dependent(x, kernel, cpu=matrix_form, default=lax_form)
    return (matrix_form if form == "matrix" else lax_form)(x, kernel)


def _down_lax(padded: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(padded, kernel, (2, 2), "VALID", dimension_numbers=_LAYOUT)


def _down_matrix(padded: jax.Array, kernel: jax.Array) -> jax.Array:
    return windows(padded) @ kernel.reshape(-1, kernel.shape[-1])


def _up_lax(y: jax.Array, kernel: jax.Array) -> jax.Array:
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return jax.lax.conv_general_dilated(
        y, flipped, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=_LAYOUT
    )


def _up_matrix(y: jax.Array, kernel: jax.Array) -> jax.Array:
    return fold(y @ kernel.reshape(-1, kernel.shape[-1]).T)[:, 1:-1, 1:-1]


class DownConv(nn.Module):
    """4x4 convolution, stride 2, padding 1: [b, h, w, c] -> [b, h/2, w/2, features].

    Parameters: kernel (4, 4, c, features), bias (features,), with torch's default initialisation.
    """

    features: int
    padding: Literal["zeros", "edge"] = "zeros"
    spectral: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h/2 w/2 f"]:
        channels = x.shape[-1]
        init = fan_in_uniform(16 * channels)
        kernel = self.param("kernel", init, (4, 4, channels, self.features))
        bias = self.param("bias", init, (self.features,))
        if self.spectral:
            kernel = spectral_norm(self, kernel, train)
        out = down_convolution(x.astype(self.dtype), kernel.astype(self.dtype), self.padding)
        return out + _per_channel(bias, out)


class UpConv(nn.Module):
    """4x4 transposed convolution, stride 2, padding 1: [b, h, w, c] -> [b, 2h, 2w, features].

    Parameters: kernel (4, 4, features, c), the kernel of the convolution that it transposes, and bias
    (features,). Torch's initialisation counts the fan-in of this layer from its *output* channels.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w f"]:
        init = fan_in_uniform(16 * self.features)
        kernel = self.param("kernel", init, (4, 4, self.features, y.shape[-1]))
        bias = self.param("bias", init, (self.features,))
        out = up_convolution(y.astype(self.dtype), kernel.astype(self.dtype))
        return out + _per_channel(bias, out)


def _per_channel(bias: jax.Array, x: jax.Array) -> jax.Array:
    return bias.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
