"""The official SPADE and DAGAN state dicts (PyTorch; `latest_net_G.pth`, `_D`, `_E`) to our variables and back.

Names map one to one. Kernels are OIHW there and HWIO here; the right singular vectors of spectral norm follow.
"""

import re
from collections.abc import Mapping

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from jaxmodels.layers.image_norm import ImageNorm

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]
_TRUNK = re.compile(r"(fc|head_0|G_middle_\d|up_\d)(\.|$)")
_NETWORKS = {
    "discriminator": re.compile(r"discriminator_\d+\."),
    "encoder": re.compile(r"layer\d+\.|fc_(mu|var)\."),
}
_LEAVES = {
    "weight": ("params", "kernel"),
    "weight_orig": ("params", "kernel"),
    "bias": ("params", "bias"),
    "weight_u": ("spectral", "u"),
    "weight_v": ("spectral", "v"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def import_network(state_dict: StateDict) -> dict:
    """The variables {"params", "spectral", "batch_stats"} of a generator, a discriminator or an encoder.

    `SPADEGenerator` and `DAGANGenerator`, `MultiScaleDiscriminator` and `ImageEncoder` take them; whether they are of
    the same architecture is for `check_same` to say. A SPADE block alone has a generator's names after its own.

    Raises:
      ValueError: an entry belongs to none of these networks, or two are one array here.
    """
    variables, names = {}, {}
    for name, array in state_dict.items():
        if name.endswith("num_batches_tracked"):
            continue
        module, _, leaf = name.rpartition(".")
        if leaf not in _LEAVES:
            raise ValueError(f"state dict entry {name!r} belongs to no layer of SPADE or DAGAN")
        collection, ours = _LEAVES[leaf]
        value = np.asarray(array)
        if leaf == "weight_v":
            if f"{module}.weight_orig" not in state_dict:
                raise ValueError(f"state dict has {name!r} without its kernel")
            value = _right_vector(value, np.shape(state_dict[f"{module}.weight_orig"]))
        elif ours == "kernel" and value.ndim == 1:
            ours = "scale"
        elif ours == "kernel":
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        path = (collection, *_our_modules(module), ours)
        if path in variables:
            raise ValueError(f"state dict entries {names[path]!r} and {name!r} are one array here")
        variables[path], names[path] = value, name
    for path, name in names.items():
        for above in (path[:i] for i in range(1, len(path))):
            if above in names:
                raise ValueError(f"state dict entry {name!r} lies within another, {names[above]!r}")
    return unflatten_dict(variables)


def split_networks(state_dict: StateDict) -> dict[str, dict[str, np.ndarray]]:
    """State dicts of several networks in one, apart: {"generator", "discriminator", "encoder"}, those that are there.

    No two of the official networks share a name.
    """
    networks: dict[str, dict[str, np.ndarray]] = {}
    for name, array in state_dict.items():
        network = next((network for network, of in _NETWORKS.items() if of.match(name)), "generator")
        networks.setdefault(network, {})[name] = array
    return networks


def export_network(variables: PyTree, norm: ImageNorm = "instance") -> dict[str, np.ndarray]:
    """The inverse of `import_network`. `norm` is that of a discriminator or an encoder, whose names depend on it."""
    flat = {path: np.asarray(value) for path, value in flatten_dict(variables).items()}
    stages = {part for path in flat for part in path if re.fullmatch(r"model\d+", part)}
    last = f"model{len(stages) - 1}"
    state_dict = {}
    for (collection, *modules, leaf), value in flat.items():
        spectral = ("spectral", *modules, "u") in flat
        module = _official_module(modules, norm, last)
        if leaf == "v":
            value = _right_vector_back(value, flat["params", *modules, "kernel"].shape)
        elif leaf == "kernel":
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        state_dict[f"{module}.{_official_leaf(collection, leaf, spectral)}"] = value
    return state_dict


def check_same(given: PyTree, wanted: PyTree) -> None:
    """Raises ValueError naming the first array that one of the trees lacks or has in another shape."""
    ours, theirs = _shapes(wanted), _shapes(given)
    for path in (*ours, *theirs):
        if ours.get(path) != theirs.get(path):
            expected, found = ours.get(path, "none"), theirs.get(path, "none")
            raise ValueError(f"{path} has shape {expected} in these settings and {found} in the weights")


def _our_modules(module: str) -> Path:
    module = (
        module.replace("mlp_shared.0", "shared").replace("mlp_gamma", "gamma").replace("mlp_beta", "beta")
    )
    module = re.sub(
        r"(model\d+\.0|layer\d+)\.1$", lambda found: found[1].removesuffix(".0") + "_norm", module
    )
    module = re.sub(r"((?:model|layer)\d+)(\.0)+$", r"\1", module)
    return (*(("trunk",) if _TRUNK.match(module) else ()), *module.split("."))


def _official_module(modules: list[str], norm: ImageNorm, last: str) -> str:
    *above, own = modules[1:] if modules[0] == "trunk" else modules
    return ".".join([*above, _official_name(own, norm, last)])


def _official_name(own: str, norm: ImageNorm, last: str) -> str:
    """Of a module with parameters inside the one above it; a convolution and its norm are parts of a sequence."""
    numbered = re.fullmatch(r"(model|layer)(\d+)(_norm)?", own)
    if numbered is None:
        return {"shared": "mlp_shared.0", "gamma": "mlp_gamma", "beta": "mlp_beta"}.get(own, own)
    stage = f"{numbered[1]}{numbered[2]}" + (".0" if numbered[1] == "model" else "")
    if numbered[3]:
        return f"{stage}.1"
    return stage if own in ("model0", last) or norm == "none" else f"{stage}.0"


def _official_leaf(collection: str, leaf: str, spectral: bool) -> str:
    if leaf == "kernel":
        return "weight_orig" if spectral else "weight"
    if leaf == "scale":
        return "weight"
    return next(official for official, ours in _LEAVES.items() if ours == (collection, leaf))


def _right_vector(v: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """v over (in, rows, columns) to v over (rows, columns, in); `shape` is that of the OIHW kernel."""
    return v.reshape(shape[1:]).transpose(1, 2, 0).reshape(-1)


def _right_vector_back(v: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return v.reshape(shape[:-1]).transpose(2, 0, 1).reshape(-1)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in leaves}
