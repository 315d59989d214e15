"""The official weights of GauGAN and DAGAN (`latest_net_G.pth`, `_D`, `_E`) as states, and back."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxmodels.layers.image_norm import ImageNorm
from jaxmodels.torch_import.spade import (
    StateDict,
    check_same,
    export_network,
    import_network,
    split_networks,
)
from train.layout import Layout
from train.networks import split_collections
from train.steps.gaugan import GauGANState, fresh_state
from train.steps.gaugan_networks import GauGANConfig, init_networks


def import_official(
    state_dicts: Mapping[str, StateDict], key: jax.Array, config: GauGANConfig, layout: Layout
) -> GauGANState:
    """A fresh state with the official weights of some of the networks {"generator", "discriminator", "encoder"}.

    Raises:
      ValueError: a state dict is of another architecture; it names the first array that differs.
    """
    run_key, weights_key = jax.random.split(key)
    init = partial(init_networks, config=config, layout=layout)
    wanted = jax.eval_shape(init, weights_key)
    networks = _imported(state_dicts, wanted)
    if len(networks) < len(wanted):
        networks = {**jax.jit(init)(weights_key), **networks}
    return fresh_state(networks, run_key, config)


def insert_official(state: GauGANState, state_dict: StateDict) -> GauGANState:
    """The state with the official weights of every network that a state dict holds, of which no two share a name.

    Raises:
      ValueError: as `import_official`, or there are no weights.
    """
    if not state_dict:
        raise ValueError("there are none")
    networks = _imported(split_networks(state_dict), _networks(state))
    split = {name: split_collections(variables) for name, variables in networks.items()}
    return state.replace(
        params={**state.params, **{name: params for name, (params, _) in split.items()}},
        collections={**state.collections, **{name: others for name, (_, others) in split.items()}},
    )


def export_official(state: GauGANState, config: GauGANConfig) -> dict[str, np.ndarray]:
    """All networks of a state in one official state dict.

    The discriminator's names begin with discriminator_, the encoder's with layer and fc_mu or fc_var.
    """
    norms: dict[str, ImageNorm] = {"discriminator": config.discriminator_norm, "encoder": config.encoder_norm}
    arrays: dict[str, np.ndarray] = {}
    for name, variables in _networks(state).items():
        arrays |= export_network(jax.device_get(variables), norms.get(name, "instance"))
    return arrays


def _networks(state: GauGANState) -> dict[str, PyTree]:
    return {name: {"params": params, **state.collections[name]} for name, params in state.params.items()}


def _imported(state_dicts: Mapping[str, StateDict], wanted: Mapping[str, PyTree]) -> dict[str, PyTree]:
    networks = {}
    for name, state_dict in state_dicts.items():
        if name not in wanted:
            raise ValueError(f"weights of the {name}, which these settings do not have")
        networks[name] = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), import_network(state_dict))
        check_same(networks[name], wanted[name])
    return networks
