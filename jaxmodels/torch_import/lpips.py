"""Weights of the `lpips` package, v0.1, to the variables of `LPIPS`.

Its files hold the heads alone, `lin{i}.model.1.weight` (1, c, 1, 1); a file with those of several networks, as
`{alex, vgg}/lin{i}.model.1.weight` (c,), is read as well. The backbone is torchvision's.
"""

from typing import Any

import numpy as np

from jaxmodels.features.lpips import Backbone
from jaxmodels.features.vgg import VGG16_LPIPS
from jaxmodels.torch_import import alexnet, vgg
from jaxmodels.torch_import.by_name import StateDict

_NETWORKS = {"alexnet": ("alex", (0, 1, 2, 3, 4)), "vgg16": ("vgg", (1, 3, 6, 9, 12))}
"""Name in a file of several networks, and the numbers of the tapped convolutions."""


def import_state_dicts(backbone: StateDict, heads: StateDict, network: Backbone) -> dict:
    """Variables of `LPIPS(network)`.

    Args:
      backbone: of torchvision's network.
      heads: see above.
      network: which.

    Raises:
      ValueError: an entry is missing, or of another shape; or a head has a negative weight.
    """
    prefix, layers = _NETWORKS[network]
    if network == "alexnet":
        tapped = alexnet.import_state_dict(backbone)["params"]
    else:
        tapped = vgg.import_state_dict(backbone, VGG16_LPIPS)["params"]
    params: dict[str, Any] = {"backbone": tapped}
    for i, layer in enumerate(layers):
        channels = len(tapped[f"conv_{layer}"]["bias"])
        params[f"heads_{i}"] = _head(heads, f"lin{i}.model.1.weight", prefix, channels)
    return {"params": params}


def _head(heads: StateDict, name: str, prefix: str, channels: int) -> np.ndarray:
    found = heads.get(f"{prefix}/{name}", heads.get(name))
    if found is None:
        raise ValueError(f"state dict has no {name!r}")
    weights = np.asarray(found, np.float32).reshape(-1)
    if len(weights) != channels:
        raise ValueError(f"{name!r} has shape {np.shape(found)}, its layer has {channels} channels")
    if (weights < 0).any():
        raise ValueError(f"{name!r} has negative weights, a distance needs weights from 0")
    return weights
