"""Weights of torchvision's `alexnet` to the variables of our feature network, or `conv0/kernel`, ... in our layout."""

import jax
import jax.numpy as jnp

from jaxmodels.features.alexnet import AlexNet
from jaxmodels.torch_import.by_name import LEAVES, StateDict, from_packed, import_by_name

INDICES = {"conv_0": 0, "conv_1": 3, "conv_2": 6, "conv_3": 8, "conv_4": 10}
"""Number of each convolution in torchvision's `features`."""


def import_state_dict(state_dict: StateDict) -> dict:
    """Variables of `AlexNet`; the classifier is not needed.

    Raises:
      ValueError: an entry is missing, left over, or of another shape.
    """
    like = jax.eval_shape(AlexNet().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    return import_by_name(
        from_packed(state_dict, INDICES),
        like,
        lambda path: f"features.{INDICES[path[0]]}.{LEAVES[path[1]]}",
        spare=("classifier.",),
    )
