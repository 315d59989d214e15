"""A training state as named NumPy arrays with checksums, and back to where it lived, bit for bit.

Leaves are named by their path (`params/encoder/kernel`). A typed PRNG key becomes its uint32 data.
"""

import json
import math
import zlib
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

State = TypeVar("State")
Arrays = dict[str, np.ndarray]
Labels = dict[str, dict[str, Any]]


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by name.

    Raises:
      ValueError: if two leaves get the same name.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(named) < len(leaves):
        raise ValueError("two leaves of the state have one name; is there a '/' in a dict key?")
    return named


def to_host(state: Any) -> Arrays:
    """A copy of every leaf, which later donation of the state can't touch.

    Args:
      state: a pytree of arrays, typed keys and Python numbers (int32 and float32 then, as JAX takes them).
    """
    data = {
        n: jax.random.key_data(leaf) if _is_key(leaf) else leaf for n, leaf in named_leaves(state).items()
    }
    return {n: np.array(leaf, _dtype(leaf)) for n, leaf in jax.device_get(data).items()}


def pack(arrays: Arrays) -> UInt8[np.ndarray, " n"]:
    """The bytes of all arrays, in the order of their names."""
    return np.concatenate([_as_bytes(arrays[name]) for name in sorted(arrays)])


def unpack(buffer: UInt8[np.ndarray, " n"], abstract_state: Any) -> Arrays:
    """What `pack` was given, for a state of the same leaves."""
    arrays, start = {}, 0
    for name, leaf in sorted(named_leaves(abstract_state).items()):
        data = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        dtype, shape = np.dtype(_dtype(data)), np.shape(data)
        stop = start + dtype.itemsize * math.prod(shape)
        arrays[name] = buffer[start:stop].copy().view(dtype).reshape(shape)  # the copy aligns it
        start = stop
    return arrays


def from_host(arrays: Arrays, labels: Labels, abstract_state: State) -> State:
    """The state of those arrays.

    Args:
      arrays: of `to_host`.
      labels: of `label`.
      abstract_state: the structure to fill. A leaf with a sharding (array or ShapeDtypeStruct) is placed
        there, one without on the default device; NumPy arrays and Python numbers stay on the host.
    """
    leaves = [_placed(arrays[n], like, labels[n]["key"]) for n, like in named_leaves(abstract_state).items()]
    return jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)


def label(state: Any, arrays: Arrays) -> Labels:
    """What tells each leaf from another or a damaged one, fit for JSON: kind, PRNG of a key, CRC-32."""
    keys = {n: str(jax.random.key_impl(leaf)) for n, leaf in named_leaves(state).items() if _is_key(leaf)}
    kind = kinds(state)
    return {n: {"kind": kind[n], "key": keys.get(n), "crc32": _crc32(array)} for n, array in arrays.items()}


def kinds(tree: Any) -> dict[str, str]:
    """Dtype and shape of each leaf, as text such as `float32[3, 4]`."""
    return {n: f"{_dtype(leaf)}{list(np.shape(leaf))}" for n, leaf in named_leaves(tree).items()}


def damaged(arrays: Arrays, labels: Labels) -> list[str]:
    """The names of the arrays that don't have the checksum of their label."""
    return [name for name, array in arrays.items() if _crc32(array) != labels[name]["crc32"]]


def json_crc32(content: Any) -> int:
    """The CRC-32 of what JSON can hold, whatever the order of its keys."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def _as_bytes(array: np.ndarray) -> UInt8[np.ndarray, " n"]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _crc32(array: np.ndarray) -> int:
    return zlib.crc32(_as_bytes(array).data)


def _dtype(leaf: Any) -> Any:
    return leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(_dtype(leaf), jax.dtypes.prng_key)


def _placed(array: np.ndarray, like: Any, key_impl: str | None) -> Any:
    if isinstance(like, bool | int | float):
        return array.item()
    if isinstance(like, np.ndarray | np.generic):
        return array
    sharding = getattr(like, "sharding", None)
    placed = (
        jnp.asarray(array)
        if sharding is None
        else jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    )
    return jax.random.wrap_key_data(placed, impl=key_impl) if key_impl else placed
