"""Weights of pytorch-fid, `pt_inception-2015-12-05`, to the variables of `InceptionFID`; the names are the same."""

import jax
import jax.numpy as jnp

from jaxmodels.features.inception_fid import InceptionFID
from jaxmodels.torch_import.by_name import LEAVES, StateDict, import_by_name


def import_state_dict(state_dict: StateDict) -> dict:
    """Variables of `InceptionFID()`; the layer of classes is not needed.

    Raises:
      ValueError: an entry is missing, left over, or of another shape.
    """
    network = InceptionFID(side=75)  # variables do not depend on it
    like = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))

    def name_of(path: tuple[str, ...]) -> str:
        return ".".join((*path[:-1], LEAVES[path[-1]]))

    return import_by_name(state_dict, like, name_of, spare=("fc.", "AuxLogits."))
