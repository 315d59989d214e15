"""Weights of the official CADA-VAE (PyTorch layout) to our parameters and back.

Names, as in this project's reference files, are `{prefix}_{enc/h, enc/mu, enc/logvar, dec/h, dec/out}.{weight, bias}`,
where the prefix stands for the modality: "img" for image features, "att" for attributes. Torch keeps a kernel as
(out, in), we as (in, out). Encoders of two hidden layers have no such names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]

PREFIXES: Mapping[str, str] = {"image": "img", "attributes": "att"}
_LAYERS: Mapping[Path, str] = {
    ("encoder", "hidden_0"): "enc/h",
    ("encoder", "mu"): "enc/mu",
    ("encoder", "logvar"): "enc/logvar",
    ("decoder", "hidden_0"): "dec/h",
    ("decoder", "out"): "dec/out",
}
_ARRAYS = {"kernel": "weight", "bias": "bias"}


def import_state_dict(state_dict: StateDict, like: Mapping, prefixes: Mapping[str, str] = PREFIXES) -> dict:
    """Parameters {modality: {"encoder", "decoder"}} from the official names and layouts.

    Args:
      state_dict: torch names to arrays.
      like: parameters of the same settings, for their shapes: arrays or what `jax.eval_shape` gives.
      prefixes: modality to the prefix of its names.

    Raises:
      ValueError: an entry is missing, left over, or not of the shape that `like` has; or a layer has no official name.
    """
    ours = {}
    names, leaves = dict(_names(like, prefixes)), _flat(like)
    for path, name in names.items():
        if name not in state_dict:
            raise ValueError(f"state dict has no {name!r}")
        array = np.asarray(state_dict[name])
        shape = leaves[path].shape[::-1]
        if array.shape != shape:
            raise ValueError(f"{name!r} has shape {array.shape}, its layer has {shape}")
        ours[path] = array.T
    left = [name for name in state_dict if name not in names.values()]
    if left:
        raise ValueError(
            f"state dict entries that belong to no layer of these settings: {', '.join(left[:5])}"
        )
    return unflatten_dict(ours)


def export_state_dict(params: Mapping, prefixes: Mapping[str, str] = PREFIXES) -> dict[str, np.ndarray]:
    """The inverse of `import_state_dict`."""
    ours = _flat(params)
    return {name: np.asarray(ours[path]).T for path, name in _names(params, prefixes)}


def _names(params: Mapping, prefixes: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """(our path, torch name) of every array."""
    for path in _flat(params):
        modality, *layer, array = path
        if modality not in prefixes or tuple(layer) not in _LAYERS:
            raise ValueError(f"{'/'.join(path)} has no official name")
        yield path, f"{prefixes[modality]}_{_LAYERS[tuple(layer)]}.{_ARRAYS[array]}"


def _flat(params: Mapping) -> dict[Path, Any]:
    flat: Any = flatten_dict(params)
    return flat
