"""Weights of torchvision's `vgg16` and `vgg19` to the variables of our feature networks.

Torchvision numbers convolutions, ReLUs and poolings alike: `features.0`, `features.2`, `features.5`, ... Files of
`conv0/kernel`, `conv0/bias`, ... in our layout are read as well.
"""

import jax
import jax.numpy as jnp

from jaxmodels.features.vgg import VGG, WIDTHS, Taps, layers_of
from jaxmodels.torch_import.by_name import LEAVES, StateDict, from_packed, import_by_name


def import_state_dict(state_dict: StateDict, taps: Taps) -> dict:
    """Variables of `VGG(taps)`; the classifier, and layers after the last tap, are not needed.

    Raises:
      ValueError: an entry is missing, left over, or of another shape.
    """
    like = jax.eval_shape(VGG(taps).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    numbers = indices(taps)
    return import_by_name(
        from_packed(state_dict, numbers),
        like,
        lambda path: f"features.{numbers[path[0]]}.{LEAVES[path[1]]}",
        spare=("classifier.", *(f"features.{i}." for i in range(max(numbers.values()) + 1, 40))),
    )


def indices(taps: Taps) -> dict[str, int]:
    """Number in torchvision's `features` of each `conv_{i}`; a ReLU follows each, a pooling each block."""
    out, position = {}, 0
    for block in range(len(WIDTHS)):
        for _ in range(layers_of(taps, block)):
            out[f"conv_{len(out)}"] = position
            position += 2
        position += 1
    return out
