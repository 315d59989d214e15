"""The weights of the official code in a state of GWAE."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmodels.torch_import.gwae import StateDict, import_state_dict
from train.steps.gwae import GWAEState, fresh_state, init_state
from train.steps.gwae_networks import GWAEConfig


def import_official(state_dict: StateDict, key: jax.Array, config: GWAEConfig) -> GWAEState:
    """A fresh state with the weights and running statistics of the official code; `key` seeds every later update.

    Raises:
      ValueError: the state dict is of other settings.
    """
    state = jax.eval_shape(partial(init_state, config=config), key)
    params, critic, collections = import_state_dict(
        state_dict, config.prior, config.batch_norm, config.residual_blocks
    )
    imported = {"params": params, "critic": critic, "collections": collections}
    ours = {name: getattr(state, name) for name in imported}
    wanted, given = _shapes(ours), _shapes(imported)
    for path, shape in wanted.items():
        if given.get(path) != shape:
            raise ValueError(f"{path} has shape {shape}, the state dict gives {given.get(path)}")
    imported = jax.tree.map(lambda leaf, given: jnp.asarray(given, leaf.dtype), ours, imported)
    return fresh_state(**imported, key=key, config=config)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in leaves}
