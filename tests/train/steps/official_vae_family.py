"""The recipe of ../shared/parity/README.md for the VAE family: official names and weights, and a step to compare."""

import zlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxmodels.torch_import import gwae as layout
from train.steps.member import Member

FILE = "vae_family_steps.npz"
RATES = {"main": 1e-4, "critic": 1e-3}
OFFICIAL = {"main": "main", "critic": "disc"}
UNTESTABLE = ("enc_block.fc.0.bias", "enc_block.fc_logvar.0.bias")
"""Biases before batch norm: their true gradient is zero."""


def leaves(member: Member) -> Iterator[tuple[str, Any]]:
    """(official name, layout) of every array of a member with batch norm."""
    encoder, decoder = layout._encoder(True, False), layout._decoder(True, False)
    blocks = [
        ("enc_block.net", (1, 3, 4, 6, 7, 9, 10, 12, 14), encoder),
        ("dec_block.net", (0, 2, 5, 7, 8, 10, 11, 13, 14), decoder),
    ]
    for torch, head in (("fc", "mean"), ("fc_logvar", "logvar")):
        norm = layout._batch_norm("encoder", f"{head}_batch_norm")
        blocks.append((f"enc_block.{torch}", (0, 1), [layout._linear("encoder", head), norm]))
    if "critic" in member.modules:
        dense = [layout._linear("critic", f"Dense_{i}") for i in range(6)]
        blocks.append(("disc_block.net", range(0, 12, 2), dense))
    for block, places, modules in blocks:
        for place, module in zip(places, modules, strict=True):
            yield from ((f"{block}.{place}.{leaf.torch}", leaf) for leaf in module)


def named(member: Member, params: Any, collections: Any) -> dict[str, np.ndarray]:
    """Arrays of a state under their official names."""
    kept = {(path[1], path[0], *path[2:]): a for path, a in flatten_dict(collections).items()}
    ours = flatten_dict({"params": params}) | kept
    return {
        name: leaf.write(np.asarray(ours[leaf.path])) for name, leaf in leaves(member) if leaf.path in ours
    }


def official_state(config: str, member: Member) -> Any:
    """Our state with the weights of the recipe."""
    state = jax.eval_shape(member.init, jax.random.key(0))
    shapes = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), (state.params, state.collections))
    arrays = named(member, *shapes)
    norms = {name.rpartition(".")[0] for name in arrays if name.endswith("running_mean")}
    ours = {
        leaf.path: leaf.read(recipe(config, name, arrays[name].shape, name.rpartition(".")[0] in norms))
        for name, leaf in leaves(member)
    }
    params = unflatten_dict({path[1:]: a for path, a in ours.items() if path[0] == "params"})
    params = {name: params.get(name, {}) for name in state.params}
    kept = {(path[1], path[0], *path[2:]): a for path, a in ours.items() if path[0] != "params"}
    kept = unflatten_dict(kept)
    collections = {name: kept.get(name, {}) for name in state.collections}
    return member._turns.init(jax.random.key(0), params, collections)


def recipe(config: str, name: str, shape: tuple[int, ...], is_norm: bool) -> np.ndarray:
    """The official test's value of one state dict entry."""
    rs = np.random.RandomState(zlib.crc32(f"{config}/{name}".encode()))
    kind = name.rpartition(".")[2]
    if is_norm:
        low, high = {"weight": (0.8, 1.2), "running_var": (0.8, 1.2)}.get(kind, (-0.2, 0.2))
        return rs.uniform(low, high, shape).astype(np.float32)
    bound = 1 / np.sqrt(np.prod(shape[1:] if kind == "weight" else shape))
    return rs.uniform(-bound, bound, shape).astype(np.float32)


def read(shared: Any, config: str) -> dict[str, np.ndarray]:
    """The golden of one configuration, with the images of its two steps."""
    with np.load(shared / "parity" / FILE, allow_pickle=False) as archive:
        names = [n for n in archive.files if n.startswith(f"{config}/") or n in ("x", "x1")]
        return {name.removeprefix(f"{config}/"): archive[name] for name in names}


def images(x: np.ndarray) -> jax.Array:
    return jnp.asarray(x.transpose(0, 2, 3, 1))


def close_to_max(ours: Any, official: np.ndarray, tolerance: float, what: str = "") -> None:
    np.testing.assert_allclose(ours, official, atol=tolerance * np.abs(official).max(), rtol=0, err_msg=what)


def check_networks(golden: dict[str, np.ndarray], member: Member, state: Any) -> None:
    """Encoder and decoder in eval mode."""
    mu, logvar = jax.jit(lambda x: member.autoencoder._networks(state)("encoder", x))(images(golden["x"]))
    close_to_max(mu, golden["eval/mean"], 1e-5)
    close_to_max(logvar, golden["eval/logvar"], 1e-5)
    decode = jax.jit(lambda z: member.autoencoder.decode(state, z))
    for z, key in (("eval/mean", "eval/dec_of_mean_sub8"), ("prior/z", "prior/dec_sub8")):
        pixels = decode(jnp.asarray(golden[z], jnp.float32)).transpose(0, 3, 1, 2)[:, :, ::8, ::8]
        close_to_max(pixels, golden[key], 1e-5)


def check_losses(golden: dict, stage: str, metrics: dict, names: dict[str, str], **apart: float) -> None:
    """Of a stage (train, train1, eval), by the names of ours; `apart` are relative tolerances of single terms."""
    tolerance = 1e-5 if stage == "eval" else 1e-4
    for ours, official in names.items():
        expected = golden[f"{stage}/loss/{official}"]
        np.testing.assert_allclose(metrics[ours], expected, rtol=apart.get(ours, tolerance), err_msg=ours)


def check_gradients(golden: dict, member: Member, after: Any, player: str = "main") -> int:
    """Their norms, read from Adam's first moment after one update; returns how many were compared."""
    moments = after.optimiser if len(member.players) == 1 else after.optimiser[player]
    share = {"main": 0.1, "critic": 0.5}[player]
    gradient = jax.tree.map(lambda mu: np.asarray(mu, np.float64) / share, moments[0].mu)
    ours, count = named(member, gradient, {}), 0
    prefix = f"grad/{OFFICIAL[player]}0/"
    for name, array in ours.items():
        if f"{prefix}{name}" in golden and name not in UNTESTABLE:
            norm = np.linalg.norm(array)
            np.testing.assert_allclose(norm, golden[f"{prefix}{name}"][1], rtol=2e-3, err_msg=name)
            count += 1
    return count


def check_update(golden: dict, member: Member, after: Any) -> int:
    """Parameters and running statistics after one update; returns how many arrays were compared."""
    ours, count = named(member, after.params, after.collections), 0
    for name, array in ours.items():
        flat = np.asarray(array, np.float64).reshape(-1)
        if f"after_step/{name}" in golden:
            close_to_max(flat, golden[f"after_step/{name}"], 3e-4, name)
            count += 1
        for player, official in OFFICIAL.items():
            summary = golden.get(f"after/{official}0/{name}")
            if summary is None or name in UNTESTABLE:
                continue
            np.testing.assert_allclose(np.linalg.norm(flat), summary[1], rtol=1e-3, err_msg=name)
            if flat.size >= 4:
                ends = np.concatenate([flat[:4], flat[-4:]])
                np.testing.assert_allclose(ends, summary[2:], atol=2 * RATES[player], rtol=0, err_msg=name)
            count += 1
    return count
