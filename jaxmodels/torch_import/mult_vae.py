"""Weights of PyTorch ports of Mult-VAE and Mult-DAE to our parameters and back.

The ports name the layers of encoder and decoder `q_layers.{i}` and `p_layers.{i}`, each with `weight` and `bias`. Torch
keeps a kernel as (out, in), we as (in, out). The last layer of Mult-VAE's encoder has mu first, then logvar, in both.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]

_NETWORKS = {"encoder": "q_layers", "decoder": "p_layers"}
_ARRAYS = {"kernel": "weight", "bias": "bias"}


def import_state_dict(state_dict: StateDict, like: Mapping) -> dict:
    """Parameters {"encoder", "decoder"} from the names and layouts of the ports.

    Args:
      state_dict: torch names to arrays.
      like: parameters of the same settings, for their shapes: arrays or what `jax.eval_shape` gives.

    Raises:
      ValueError: an entry is missing, left over, or not of the shape that `like` has.
    """
    ours, leaves = {}, _flat(like)
    for path, leaf in leaves.items():
        name = _name(path)
        if name not in state_dict:
            raise ValueError(f"state dict has no {name!r}")
        array = np.asarray(state_dict[name])
        if array.shape != leaf.shape[::-1]:
            raise ValueError(f"{name!r} has shape {array.shape}, its layer has {leaf.shape[::-1]}")
        ours[path] = array.T
    left = set(state_dict) - {_name(path) for path in leaves}
    if left:
        raise ValueError(
            f"state dict entries that belong to no layer of these settings: {', '.join(sorted(left)[:5])}"
        )
    return unflatten_dict(ours)


def export_state_dict(params: Mapping) -> dict[str, np.ndarray]:
    """The inverse of `import_state_dict`."""
    return {_name(path): np.asarray(leaf).T for path, leaf in _flat(params).items()}


def _name(path: Path) -> str:
    """q_layers.0.weight of ("encoder", "dense_0", "kernel")."""
    network, layer, array = path
    return f"{_NETWORKS[network]}.{layer.removeprefix('dense_')}.{_ARRAYS[array]}"


def _flat(params: Mapping) -> dict[Path, Any]:
    flat: Any = flatten_dict(params)
    return flat
