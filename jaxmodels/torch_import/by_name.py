"""Variables of networks of which every array has its own name in a PyTorch state dict."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]

LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
"""Torch's names of the arrays of a layer, by ours."""
_AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
"""From torch's (out, in, rows, columns) and (out, in) to ours, by the number of axes."""


def import_by_name(
    state_dict: StateDict, like: Mapping, name_of: Callable[[Path], str], spare: tuple[str, ...] = ()
) -> dict:
    """Variables {"params": ..., and perhaps "batch_stats": ...} in float32, from torch's names and layouts.

    Args:
      state_dict: torch names to arrays.
      like: variables of the network, for their paths and shapes: arrays or what `jax.eval_shape` gives.
      name_of: torch's name of the array at a path, which comes without the collection.
      spare: beginnings of names that may be left over; "num_batches_tracked" of batch norms always may.

    Raises:
      ValueError: an entry is missing, left over, or not of the shape that `like` has.
    """
    ours, used = {}, set()
    flat: Any = flatten_dict(like)
    for path, leaf in flat.items():
        name = name_of(path[1:])
        if name not in state_dict:
            raise ValueError(f"state dict has no {name!r}")
        array = np.asarray(state_dict[name], np.float32)
        axes = _AXES[len(leaf.shape)]
        shape = tuple(leaf.shape[axes.index(axis)] for axis in range(len(axes)))
        if array.shape != shape:
            raise ValueError(f"{name!r} has shape {array.shape}, its layer has {shape}")
        ours[path] = np.ascontiguousarray(array.transpose(axes))
        used.add(name)
    left = [name for name in state_dict if name not in used and not name.startswith(spare)]
    left = [name for name in left if not name.endswith("num_batches_tracked")]
    if left:
        raise ValueError(f"state dict entries that belong to no layer of this network: {', '.join(left[:5])}")
    return unflatten_dict(ours)


def from_packed(state_dict: StateDict, indices: Mapping[str, int]) -> StateDict:
    """A file of `conv{i}/kernel` (rows, columns, in, out) and `conv{i}/bias` with torchvision's names and layout.

    A state dict that has torchvision's names already stays as it is.

    Args:
      state_dict: of either kind.
      indices: number in torchvision's `features` of our `conv_{i}`.
    """
    if "conv0/kernel" not in state_dict:
        return state_dict
    out = {}
    for name, array in state_dict.items():
        layer, kind = name.split("/")
        index = indices.get(layer.replace("conv", "conv_"), -1)
        if index < 0:
            continue  # after the last tap
        if kind not in LEAVES:
            raise ValueError(f"{name!r} is neither a kernel nor a bias")
        out[f"features.{index}.{LEAVES[kind]}"] = array.transpose(3, 2, 0, 1) if kind == "kernel" else array
    return out
