"""The official GWAE state dict (PyTorch) to our variables and back.

Both directions walk the same list of modules. Torch names them by their index in a Sequential (`enc_block.net.3`),
which depends on the options; only the order of the modules inside each block is relied on when reading.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

StateDict = Mapping[str, np.ndarray]
Path = tuple[str, ...]


@dataclass(frozen=True)
class _Leaf:
    """One array: its torch name after the module's, our path (collection, module, ..., name), and the layouts."""

    torch: str
    path: Path
    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


def import_state_dict(
    state_dict: StateDict, prior: str, batch_norm: bool = False, residual_blocks: bool = False
) -> tuple[dict, dict, dict]:
    """(params, critic, collections) of a GWAE state from the official names and layouts.

    Args:
      state_dict: torch names to arrays.
      prior: our name of the prior, e.g. "factorised-neural".
      batch_norm: whether encoder and decoder have batch norm.
      residual_blocks: whether they have residual blocks.

    Raises:
      ValueError: an entry is missing, left over, or of a shape that its layout cannot have.
    """
    ours = {}
    used = set()
    for block, layers in _blocks(prior, batch_norm, residual_blocks):
        for module, leaves in zip(_module_names(state_dict, block, len(layers)), layers, strict=True):
            ours |= _read(state_dict, f"{block}.{module}".strip("."), leaves, used)
    for module, leaves in _prior(prior):
        ours |= _read(state_dict, f"sampler.{module}".strip("."), leaves, used)
    ours |= _read(state_dict, "", [_LOG_SCALE], used)
    left = [name for name in state_dict if name not in used and not name.endswith(_IGNORED)]
    if left:
        raise ValueError(
            f"state dict entries that belong to no layer of these settings: {', '.join(left[:5])}"
        )
    return _split(ours)


def import_prior(state_dict: StateDict, prior: str) -> dict:
    """The variables {"params": ..., "batch_stats": ...} of a prior from the entries of its sampler alone."""
    used: set[str] = set()
    ours = {}
    for module, leaves in _prior(prior):
        ours |= _read(state_dict, module, leaves, used)
    return unflatten_dict({(path[0], *path[2:]): array for path, array in ours.items()})


def export_state_dict(
    params: Mapping, critic: Mapping, collections: Mapping, prior: str
) -> dict[str, np.ndarray]:
    """The inverse of `import_state_dict` for networks without batch norm and residual blocks.

    The official names inside those two options are not known.
    """
    ours = _join(params, critic, collections)
    named = [
        (f"{block}.{module}".strip("."), leaves)
        for block, layers in _blocks(prior, batch_norm=False, residual=False)
        for module, leaves in zip(_MODULE_NAMES[block], layers, strict=True)
    ]
    named += [(f"sampler.{module}".strip("."), leaves) for module, leaves in _prior(prior)]
    named.append(("", [_LOG_SCALE]))
    return {
        f"{module}.{leaf.torch}".strip("."): leaf.write(np.asarray(ours[leaf.path]))
        for module, leaves in named
        for leaf in leaves
    }


_MODULE_NAMES = {
    "enc_block.net": ("1", "3", "5", "7", "10"),
    "enc_block.fc": ("",),
    "enc_block.fc_logvar": ("",),
    "dec_block.net": ("0", "2", "5", "7", "9", "11"),
    "disc_block.x_net": ("0", "2", "4", "6", "8", "10", "13"),
    "disc_block.z_net": ("0", "2", "4"),
    "disc_block.xz_net": ("0", "2", "4"),
}


def _read(state_dict: StateDict, module: str, leaves: list[_Leaf], used: set[str]) -> dict[Path, np.ndarray]:
    out = {}
    for leaf in leaves:
        name = f"{module}.{leaf.torch}".strip(".")
        if name not in state_dict:
            raise ValueError(f"state dict has no {name!r}")
        array = np.asarray(state_dict[name])
        try:
            out[leaf.path] = leaf.read(array)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{name!r} has shape {array.shape}, which is not that of its layer") from error
        used.add(name)
    return out


_IGNORED = ("num_batches_tracked",)


def _split(ours: dict[Path, np.ndarray]) -> tuple[dict, dict, dict]:
    params = {path[1:]: a for path, a in ours.items() if path[0] == "params" and path[1] != "critic"}
    critic = {path[2:]: a for path, a in ours.items() if path[:2] == ("params", "critic")}
    # collections are kept module first: collections[module][collection]
    collections = {(path[1], path[0], *path[2:]): a for path, a in ours.items() if path[0] != "params"}
    nested = unflatten_dict(collections)
    params_tree = unflatten_dict(params)
    params_tree.setdefault("prior", {})
    for module in ("encoder", "decoder", "prior", "critic"):
        nested.setdefault(module, {})
    return params_tree, unflatten_dict(critic), nested


def _join(params: Mapping, critic: Mapping, collections: Mapping) -> dict[Path, np.ndarray]:
    trees: Any = {"params": {**params, "critic": critic}}
    kept: Any = flatten_dict(collections)
    ours: Any = flatten_dict(trees)
    return ours | {(path[1], path[0], *path[2:]): array for path, array in kept.items()}


def _blocks(prior: str, batch_norm: bool, residual: bool) -> Iterator[tuple[str, list[list[_Leaf]]]]:
    """(torch prefix, leaves of each module in order) of every block."""
    yield "enc_block.net", _encoder(batch_norm, residual)
    for torch_name, head in (("fc", "mean"), ("fc_logvar", "logvar")):
        layers = [_linear("encoder", head)]
        yield f"enc_block.{torch_name}", layers + [_batch_norm("encoder", f"{head}_batch_norm")] * batch_norm
    yield "dec_block.net", _decoder(batch_norm, residual)
    convs = [_down("critic", "x_net", f"DownConv_{i}", spectral=True) for i in range(6)]
    yield "disc_block.x_net", [*convs, _linear("critic", "x_net", "Dense_0", spectral=True)]
    for net in ("z_net", "xz_net"):
        yield f"disc_block.{net}", [_linear("critic", net, f"Dense_{i}", spectral=True) for i in range(3)]


def _encoder(batch_norm: bool, residual: bool) -> list[list[_Leaf]]:
    layers = []
    for stage in range(4):
        layers.append(_down("encoder", f"DownConv_{stage}"))
        layers += _after_stage("encoder", stage, batch_norm, residual)
    return [*layers, _linear("encoder", "Dense_0", read=_from_chw, write=_to_chw)]


def _decoder(batch_norm: bool, residual: bool) -> list[list[_Leaf]]:
    layers = [_linear("decoder", "Dense_0"), _linear("decoder", "Dense_1", read=_into_hwc, write=_out_of_hwc)]
    layers[1][1] = _Leaf("bias", layers[1][1].path, _bias_into_hwc, _bias_out_of_hwc)
    for stage in range(4):
        layers.append(_up("decoder", f"UpConv_{stage}"))
        layers += _after_stage("decoder", stage, batch_norm and stage < 3, residual, batch_norm)
    return layers


def _after_stage(
    module: str, stage: int, norm: bool, residual: bool, norm_inside: bool | None = None
) -> list[list[_Leaf]]:
    layers = [_batch_norm(module, f"BatchNorm_{stage}")] if norm else []
    for block in range(2 * stage, 2 * stage + 2) if residual else ():
        for i in range(2):
            layers.append(_pointwise(module, f"ResidualBlock_{block}", f"Dense_{i}"))
            if norm if norm_inside is None else norm_inside:
                layers.append(_batch_norm(module, f"ResidualBlock_{block}", f"BatchNorm_{i}"))
    return layers


def _prior(prior: str) -> list[tuple[str, list[_Leaf]]]:
    """(torch name inside the sampler, leaves) of each module of a prior."""
    path = ("params", "prior")
    norm = _batch_norm("prior", "BatchNorm_0", affine=prior == "causal")
    match prior:
        case "neural":
            return [*((f"net.{2 * i}", _linear("prior", f"Dense_{i}")) for i in range(4)), ("net.7", norm)]
        case "factorised-neural":
            layers = ((f"net.{2 * i + 1}", _grouped("prior", f"_PerDimension_{i}")) for i in range(4))
            return [*layers, ("net.8", norm)]
        case "gaussian-mixture":
            names = {
                "component_mean": "mean",
                "component_sqrtprecision": "root",
                "logits_unnormalized": "logits",
            }
            return [
                ("", [_plain(theirs, (*path, ours)) for theirs, ours in names.items()]),
                ("batchnorm", norm),
            ]
        case "vector-quantised":
            return [("", [_plain("embeddings", (*path, "embeddings"))])]
        case "causal":
            scores = [_plain(name, (*path, name)) for name in ("permutation_score", "edge_score")]
            layers = [
                (f"ccs.{i}", [_plain("weight", (*path, f"kernel_{i}")), _plain("bias", (*path, f"bias_{i}"))])
                for i in range(7)
            ]
            return [("dag", scores), *layers, ("batchnorm", norm)]
    return []


def _plain(torch: str, path: Path) -> _Leaf:
    return _Leaf(torch, path, lambda a: a, lambda a: a)


def _transpose(torch: str, path: Path, axes: tuple[int, ...]) -> _Leaf:
    inverse = tuple(np.argsort(axes))
    return _Leaf(torch, path, lambda a: a.transpose(axes), lambda a: a.transpose(inverse))


def _linear(
    *path: str, spectral: bool = False, read: Callable = lambda a: a, write: Callable = lambda a: a
) -> list[_Leaf]:
    kernel = ("params", *path, "kernel")
    leaves = [
        _Leaf(_weight(spectral), kernel, lambda a: read(a).T, lambda a: write(a.T)),
        _plain("bias", ("params", *path, "bias")),
    ]
    if spectral:
        leaves += [_plain(f"weight_{v}", ("spectral", *path, v)) for v in "uv"]
    return leaves


def _down(*path: str, spectral: bool = False) -> list[_Leaf]:
    leaves = [
        _transpose(_weight(spectral), ("params", *path, "kernel"), (2, 3, 1, 0)),
        _plain("bias", ("params", *path, "bias")),
    ]
    if spectral:
        # v runs over (channel, row, column) in torch and over (row, column, channel) here
        leaves.append(_plain("weight_u", ("spectral", *path, "u")))
        leaves.append(
            _Leaf(
                "weight_v",
                ("spectral", *path, "v"),
                lambda a: a.reshape(-1, 16).T.reshape(-1),
                lambda a: a.reshape(16, -1).T.reshape(-1),
            )
        )
    return leaves


def _up(*path: str) -> list[_Leaf]:
    """Torch keeps a transposed kernel as (in, out, kh, kw); ours is (kh, kw, out, in)."""
    return [
        _transpose("weight", ("params", *path, "kernel"), (2, 3, 1, 0)),
        _plain("bias", ("params", *path, "bias")),
    ]


def _pointwise(*path: str) -> list[_Leaf]:
    return [
        _Leaf(
            "weight", ("params", *path, "kernel"), lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None]
        ),
        _plain("bias", ("params", *path, "bias")),
    ]


def _grouped(*path: str) -> list[_Leaf]:
    """Conv1d with one group per latent, (latents * out, in, 1), to (latents, in, out).

    Output channel i of latent l is i + out l in torch.
    """

    def read(a: np.ndarray) -> np.ndarray:
        out = 4 if not path[-1].endswith("3") else 1
        return a[:, :, 0].reshape(-1, out, a.shape[1]).transpose(0, 2, 1)

    def write(a: np.ndarray) -> np.ndarray:
        return a.transpose(0, 2, 1).reshape(-1, a.shape[1])[:, :, None]

    out = 4 if not path[-1].endswith("3") else 1
    bias = _Leaf("bias", ("params", *path, "bias"), lambda a: a.reshape(-1, out), lambda a: a.reshape(-1))
    return [_Leaf("weight", ("params", *path, "kernel"), read, write), bias]


def _batch_norm(*path: str, affine: bool = True) -> list[_Leaf]:
    leaves = [
        _plain("running_mean", ("batch_stats", *path, "mean")),
        _plain("running_var", ("batch_stats", *path, "var")),
    ]
    if affine:
        leaves += [
            _plain("weight", ("params", *path, "scale")),
            _plain("bias", ("params", *path, "bias")),
        ]
    return leaves


def _weight(spectral: bool) -> str:
    return "weight_orig" if spectral else "weight"


# The flattened 4x4x256 feature map is (channel, row, column) in torch and (row, column, channel) here.
def _from_chw(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, 256, 4, 4).transpose(0, 2, 3, 1).reshape(len(a), -1)


def _to_chw(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, 4, 4, 256).transpose(0, 3, 1, 2).reshape(len(a), -1)


def _into_hwc(a: np.ndarray) -> np.ndarray:
    return a.reshape(256, 4, 4, -1).transpose(1, 2, 0, 3).reshape(4096, -1)


def _out_of_hwc(a: np.ndarray) -> np.ndarray:
    return a.reshape(4, 4, 256, -1).transpose(2, 0, 1, 3).reshape(4096, -1)


def _bias_into_hwc(a: np.ndarray) -> np.ndarray:
    return _into_hwc(a)[:, 0]


def _bias_out_of_hwc(a: np.ndarray) -> np.ndarray:
    return _out_of_hwc(a)[:, 0]


def _module_names(state_dict: StateDict, block: str, count: int) -> list[str]:
    """Names inside a block of the modules that have arrays, in the order of their construction."""
    modules = {name.rpartition(".")[0] for name in state_dict if name.startswith(f"{block}.")}
    names = sorted((module.removeprefix(block).strip(".") for module in modules), key=_natural)
    if len(names) != count:
        raise ValueError(f"{block} has {len(names)} layers with weights, these settings have {count}")
    return names


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split(".")]


_LOG_SCALE = _plain("log_distance_coef", ("params", "log_scale"))
