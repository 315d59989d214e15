"""AlexNet: the published sizes and taps."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmodels.features.alexnet import AlexNet


def test_published_sizes():
    """Torchvision's `features`: 2,469,696 parameters; 55, 27 and three times 13 positions for 224 pixels."""
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(AlexNet().init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 2_469_696
    found = jax.eval_shape(AlexNet().apply, variables, x)
    sizes = ((55, 64), (27, 192), (13, 384), (13, 256), (13, 256))
    assert [f.shape for f in found] == [(1, side, side, c) for side, c in sizes]


def test_the_first_tap_by_hand():
    """11 x 11 at stride 4, two zeros around the image, ReLU."""
    x = jax.random.normal(jax.random.key(0), (1, 31, 35, 3))
    variables = jax.jit(AlexNet().init)(jax.random.key(1), x)
    first = jax.jit(AlexNet().apply)(variables, x)[0]
    assert first.shape == (1, 7, 8, 64)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    kernel = variables["params"]["conv_0"]["kernel"]
    for i, j in ((0, 0), (3, 5), (6, 7)):
        window = padded[0, 4 * i : 4 * i + 11, 4 * j : 4 * j + 11]
        np.testing.assert_allclose(
            first[0, i, j], np.maximum(np.tensordot(window, kernel, 3), 0), rtol=1e-4, atol=1e-5
        )
