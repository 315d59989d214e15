"""The names of a model's weights in a file, for `experiments.weights`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

Arrays = Mapping[str, np.ndarray]


class Names(NamedTuple):
    """How the weights of a state of one seed are written; each of the two functions is the inverse of the other.

    Attributes:
      export: state -> arrays by name; raises ValueError for settings whose weights have no names.
      insert: (state, arrays) -> the state with those weights; raises ValueError for those of other settings.
    """

    export: Callable[[Any], dict[str, np.ndarray]]
    insert: Callable[[Any, Arrays], Any]


def published(
    export_state_dict: Callable[[Mapping], dict[str, np.ndarray]],
    import_state_dict: Callable[[Arrays, Mapping], dict],
) -> Names:
    """The names of a layout of parameters: params -> arrays, and (arrays, parameters of the shapes) -> params."""

    def insert(state: Any, arrays: Arrays) -> Any:
        given = import_state_dict(arrays, state.params)
        return state.replace(params=jax.tree.map(_as, state.params, given))

    return Names(lambda state: export_state_dict(state.params), insert)


def own() -> Names:
    """The paths of the parameters, and of what networks keep beside them, such as collections/encoder/batch_stats."""

    def export(state: Any) -> dict[str, np.ndarray]:
        return {name: np.asarray(leaf) for name, leaf in _leaves(state).items()}

    def insert(state: Any, arrays: Arrays) -> Any:
        wanted = _leaves(state)
        for name, leaf in wanted.items():
            if name not in arrays:
                raise ValueError(f"there is no {name!r}")
            if arrays[name].shape != leaf.shape:
                raise ValueError(f"{name!r} has shape {arrays[name].shape}, the model's has {leaf.shape}")
        if left := sorted(set(arrays) - set(wanted)):
            raise ValueError(f"{', '.join(left[:5])} belong to nothing in the model")
        whole = _parts(state)
        structure = jax.tree.structure(whole)
        given = jax.tree.unflatten(structure, [_as(wanted[name], arrays[name]) for name in wanted])
        return state.replace(**{field: given[field] for field in whole})

    return Names(export, insert)


def _parts(state: Any) -> dict[str, PyTree]:
    return {field: getattr(state, field) for field in ("params", "collections") if hasattr(state, field)}


def _leaves(state: Any) -> dict[str, jax.Array]:
    """Every array of the parts by its path, in the order of the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(_parts(state))
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return {name.removeprefix("params/"): leaf for name, (_, leaf) in zip(names, leaves, strict=True)}


def _as(leaf: jax.Array, given: np.ndarray) -> jax.Array:
    return jnp.asarray(given, leaf.dtype)
