"""Weights of GRU4Rec in PyTorch's layout to our parameters and back.

The network's names are those of the formulas (Wx, Wrz, Wh and b of the original cell, stored [in, out] there too;
weight_ih, weight_hh, bias_ih and bias_hh of torch.nn.GRUCell, which stores [out, in]) after `layer_{i}.`; the items'
are Wy.weight [items, H], By.weight [items, 1] and, where items have other rows to come in by, E.weight (embeddings)
or Wx0.weight (rows of the first layer's input weights, with its columns in the cell's order).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
_TRANSPOSED = ("weight_ih", "weight_hh")


def import_state_dict(state_dict: StateDict, like: Mapping) -> dict:
    """{"network", "tables"} from torch names and layouts.

    Args:
      state_dict: torch names to arrays.
      like: parameters of the same settings, for their names and shapes: arrays or what `jax.eval_shape` gives.

    Raises:
      ValueError: an entry is missing, left over, or not of the shape that `like` has.
    """
    ours, leaves, names = {}, _flat(like), _names(like)
    for path, name in names.items():
        if name not in state_dict:
            raise ValueError(f"state dict has no {name!r}")
        array = _turned(path, np.asarray(state_dict[name]))
        if path[-1] == "bias" and array.shape[1:] == (1,):
            array = array[:, 0]
        if array.shape != leaves[path].shape:
            raise ValueError(f"{name!r} has shape {array.shape}, its layer has {leaves[path].shape}")
        ours[path] = array
    left = [name for name in state_dict if name not in names.values()]
    if left:
        raise ValueError(
            f"state dict entries that belong to nothing of these settings: {', '.join(left[:5])}"
        )
    return unflatten_dict(ours)


def export_state_dict(params: Mapping) -> dict[str, np.ndarray]:
    """The inverse of `import_state_dict`."""
    arrays = _flat(params)
    found = {name: _turned(path, np.asarray(arrays[path])) for path, name in _names(params).items()}
    return {name: array[:, None] if name == "By.weight" else array for name, array in found.items()}


def _turned(path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
    return array.T if path[-1] in _TRANSPOSED else array


def _names(params: Mapping) -> dict[tuple[str, ...], str]:
    """Our path to the torch name of every array."""
    first = params["network"]["layer_0"]
    projects = "Wx" in first or "weight_ih" in first
    tables = {"output": "Wy", "bias": "By", "input": "E" if projects else "Wx0"}

    def name(path: tuple[str, ...]) -> str:
        return f"{tables[path[1]]}.weight" if path[0] == "tables" else ".".join(path[1:])

    return {path: name(path) for path in _flat(params)}


def _flat(params: Mapping) -> dict[tuple[str, ...], Any]:
    flat: Any = flatten_dict(params)
    return flat
