"""Weights of PyTorch's EfficientNet-Lite0 (the names of `efficientnet_lite_pytorch`) to our variables."""

import jax
import jax.numpy as jnp

from jaxmodels.features.efficientnet_lite import EfficientNetLite
from jaxmodels.torch_import.by_name import LEAVES, Path, StateDict, import_by_name

_ENDS = {
    ("stem", "convolution"): "_conv_stem",
    ("stem", "norm"): "_bn0",
    ("head", "convolution"): "_conv_head",
    ("head", "norm"): "_bn1",
}
_NORMS = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}


def import_state_dict(state_dict: StateDict) -> dict:
    """Variables of `EfficientNetLite()`.

    Raises:
      ValueError: an entry is missing, left over, or of another shape.
    """
    network = EfficientNetLite(side=32)  # variables do not depend on it
    x = jnp.zeros((1, 32, 32, 3))
    like = jax.eval_shape(lambda: network.init(jax.random.key(0), x, method="logits"))
    return import_by_name(state_dict, like, _name)


def _name(path: Path) -> str:
    """_blocks.3._bn1.weight of ("block_3", "depthwise", "norm", "scale")."""
    module, *inside, leaf = path
    if module == "classes":
        return f"_fc.{LEAVES[leaf]}"
    if module in ("stem", "head"):
        return f"{_ENDS[module, inside[0]]}.{LEAVES[leaf]}"
    layer, part = inside
    torch = _NORMS[layer] if part == "norm" else f"_{layer}_conv"
    return f"_blocks.{module.removeprefix('block_')}.{torch}.{LEAVES[leaf]}"
