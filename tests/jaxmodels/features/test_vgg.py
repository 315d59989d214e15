"""VGG16 and VGG19: the published sizes, where they are tapped, and a network small enough to follow by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.features.vgg import VGG, VGG16_LPIPS, VGG19_PERCEPTUAL, Taps

X = jax.random.normal(jax.random.key(0), (1, 16, 16, 3))


def shapes(taps, side=32):
    x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    variables = jax.eval_shape(VGG(taps).init, jax.random.key(0), x)
    return variables["params"], jax.eval_shape(VGG(taps).apply, variables, x)


@pytest.mark.parametrize(
    ("taps", "layers", "parameters"),
    [
        (VGG16_LPIPS, 13, 14_714_688),
        (Taps((2, 2, 4, 4, 4), (1, 1, 1, 1, 4)), 16, 20_024_384),
        (VGG19_PERCEPTUAL, 13, 20_024_384 - 3 * (9 * 512**2 + 512)),
    ],
)
def test_published_sizes(taps, layers, parameters):
    """Those of torchvision's features; the taps have the widths of the blocks and half the side each."""
    params, found = shapes(taps)
    assert set(params) == {f"conv_{i}" for i in range(layers)}
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters
    widths = ((32, 64), (16, 128), (8, 256), (4, 512), (2, 512))
    assert [f.shape for f in found] == [(2, side, side, c) for side, c in widths]


def test_taps_are_behind_the_relu_of_their_layers():
    """The second tap by hand: conv_0, ReLU, [tap], maxima, conv_1, ReLU, [tap]."""
    taps = Taps((1, 1, 1, 1, 1), (1, 1, 1, 1, 1))
    variables = jax.jit(VGG(taps).init)(jax.random.key(1), X)
    params = variables["params"]
    first, second = jax.jit(VGG(taps).apply)(variables, X)[:2]

    def layer(x, name):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel, (h, w) = np.asarray(params[name]["kernel"]), x.shape[1:3]
        out = sum(padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(3) for j in range(3))
        return np.maximum(out + params[name]["bias"][None, None, None], 0)

    by_hand = layer(np.asarray(X), "conv_0")
    np.testing.assert_allclose(first, by_hand, rtol=1e-4, atol=1e-6)
    pooled = by_hand.reshape(1, 8, 2, 8, 2, -1).max((2, 4))
    np.testing.assert_allclose(second, layer(pooled, "conv_1"), rtol=1e-4, atol=1e-6)
