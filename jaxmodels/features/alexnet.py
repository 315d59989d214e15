"""Features of AlexNet in the one-column form of torchvision (Krizhevsky, arXiv:1404.5997), as LPIPS takes them."""

import jax
from flax import linen as nn
from jaxtyping import Array, Float

LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
"""Features, size, stride and padding of each convolution."""
POOLED_BEFORE = (1, 2)


class AlexNet(nn.Module):
    """Images [b, h, w, 3] to the features after the ReLU of each of the five convolutions; h and w at least 31.

    Parameters: conv_0, ..., conv_4.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> tuple[Float[Array, "b _ _ _"], ...]:
        found = []
        for i, (features, size, stride, padding) in enumerate(LAYERS):
            if i in POOLED_BEFORE:
                x = nn.max_pool(x, (3, 3), (2, 2))
            convolution = nn.Conv(features, (size, size), stride, padding, name=f"conv_{i}")
            x = jax.nn.relu(convolution(x))
            found.append(x)
        return tuple(found)
