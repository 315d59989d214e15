"""Stride-1 convolutions and the convolution layer of image networks, in the form that suits the platform.

XLA's CPU backend is fast at a stride-1 convolution and at its gradient with respect to the images, which is one
too, and slow at the gradient with respect to the kernel. That one is a product of windows: on CPU it is written so.
Large 3x3 convolutions that are trained may take minimal filtering instead.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.convolution import by_platform, strided_convolution
from jaxmodels.layers.initialisers import xavier_normal
from jaxmodels.layers.spectral_norm import spectral_norm
from jaxmodels.layers.winograd import minimal_convolution

SMALL = 64
"""Pixels of an output up to which, on CPU, the whole convolution is a product of windows."""
MANY_PIXELS = 512
"""Pixels of a (global) batch from which minimal filtering is worth the transforms of the kernel, on CPU."""
MANY_CHANNELS = 16
"""c f / (c + f), of c channels in and f out, from which minimal filtering is worth the transforms of the images."""
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c f"], padding: int, minimal: bool = False
) -> Float[Array, "b i j f"]:
    """Convolution of stride 1 with `padding` zeros (less than k) on every side; i = h + 2 padding - k + 1.

    `minimal` allows minimal filtering in training on CPU (`jaxmodels.layers.winograd`), where that is faster. It rounds
    otherwise, so that maxima and kinks near a tie may turn the other way: VGG leaves it off.
    """
    if kernel.shape[0] == 1 and padding == 0:
        return x @ kernel[0, 0]
    height, width = (side + 2 * padding - kernel.shape[0] + 1 for side in x.shape[1:3])
    if height * width <= SMALL:
        form = partial(_product, padding)
    elif minimal and _gains(x, kernel, padding):
        form = minimal_convolution
    else:
        form = partial(_windowed, padding)
    return by_platform(partial(_lax, padding=padding), form, x, kernel)


def _gains(x: jax.Array, kernel: jax.Array, padding: int) -> bool:
    """Whether minimal filtering has the shapes and precision that it needs, and enough pixels and channels to gain."""
    batch, height, width, channels = x.shape
    size, features = kernel.shape[0], kernel.shape[-1]
    fits = size == 3 and padding == 1 and height % 2 == 0 and width % 2 == 0 and x.dtype == jnp.float32
    products_for_transforms = channels * features / (channels + features)
    return fits and batch * height * width >= MANY_PIXELS and products_for_transforms >= MANY_CHANNELS


def _product(padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    size = kernel.shape[0]
    sides = tuple(side + 2 * padding - size + 1 for side in x.shape[1:3])
    return _shifts(x, padding, size, sides) @ kernel.reshape(-1, kernel.shape[-1])


def _lax(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    sides = (padding, padding)
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), (sides, sides), dimension_numbers=_LAYOUT)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _windowed(padding: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _lax(x, kernel, padding)


def _backward(padding: int, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _windowed(kernel.shape[0] - 1 - padding, g, flipped), _kernel_gradient(x, g, kernel.shape, padding)


_windowed.defvjp(lambda padding, x, kernel: (_lax(x, kernel, padding), (x, kernel)), _backward)


def _kernel_gradient(x: jax.Array, g: jax.Array, shape: tuple[int, ...], padding: int) -> jax.Array:
    """sum over b, h, w of x[b, h + i - padding, w + j - padding, :] g[b, h, w, :]^T for every i, j.

    Either the images or the cotangents are cut into windows: those with fewer channels.
    """
    size, _, channels, features = shape
    if channels <= features:
        windows = _shifts(x, padding, size, g.shape[1:3])
        product = windows.reshape(-1, size * size * channels).T @ g.reshape(-1, features)
        return product.reshape(shape)
    windows = _shifts(g, size - 1 - padding, size, x.shape[1:3])
    product = x.reshape(-1, channels).T @ windows.reshape(-1, size * size * features)
    return product.reshape(channels, size, size, features)[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def _shifts(x: jax.Array, padding: int, size: int, sides: tuple[int, ...]) -> jax.Array:
    """All windows of `size` by `size`: [b, *sides, size size c]."""
    height, width = sides
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return jnp.concatenate(
        [padded[:, i : i + height, j : j + width] for i in range(size) for j in range(size)], axis=-1
    )


class Conv(nn.Module):
    """Convolution of stride 1 or 2 with zero padding, as image GANs use it; optionally spectrally normalised.

    Parameters: kernel (size, size, c, features) and, unless `use_bias` is off, bias (features,), which starts at 0.
    """

    features: int
    size: int = 3
    stride: int = 1
    padding: int | None = None
    """Zeros on each side; half the size, rounded down, where none is given."""
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Callable[..., jax.Array] = xavier_normal(0.02)
    dtype: jnp.dtype = jnp.float32
    minimal: bool = False
    """Allows minimal filtering in training on CPU (`convolve`)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b i j f"]:
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, x.shape[-1], self.features))
        if self.spectral:
            kernel = spectral_norm(self, kernel, train)
        padding = self.size // 2 if self.padding is None else self.padding
        apply = partial(convolve, minimal=self.minimal) if self.stride == 1 else strided_convolution
        out = apply(x.astype(self.dtype), kernel.astype(self.dtype), padding)
        if not self.use_bias:
            return out
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return out + bias.astype(out.dtype).reshape(1, 1, 1, -1)
