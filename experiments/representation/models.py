"""The registry of what is trained on images with known factors: by its settings, each as a `Learner`.

A new member of the VAE family is one line in `Model` and one in `learner`; a type checker finds what is missing.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from experiments.representation.autoencoding import Learner
from experiments.weight_names import Names, own
from jaxmodels.torch_import.gwae import export_state_dict
from train.steps import dip_vae, factor_vae, gwae, gwae_networks, gwae_weights, vae
from train.steps.dip_vae import DIPVAEConfig
from train.steps.factor_vae import FactorVAEConfig
from train.steps.gwae_networks import GWAEConfig
from train.steps.member import Member
from train.steps.vae import BetaVAEConfig, VAEConfig

Model = GWAEConfig | VAEConfig | BetaVAEConfig | FactorVAEConfig | DIPVAEConfig
"""Told apart by `objective`."""


def learner(config: Model) -> Learner:
    """What is trained, with these settings."""
    match config:
        case GWAEConfig():
            return _gwae(config)
        case VAEConfig() | BetaVAEConfig():
            return _of(vae.member(config))
        case FactorVAEConfig():
            return _of(factor_vae.member(config))
        case DIPVAEConfig():
            return _of(dip_vae.member(config))


def _of(member: Member) -> Learner:
    """A member of the VAE family."""
    return Learner(
        name=member.name,
        init=member.init,
        train_step=member.train_step,
        eval_step=member.eval_step,
        autoencoder=member.autoencoder,
        gromov_wasserstein=False,
    )


def _gwae(config: GWAEConfig) -> Learner:
    return Learner(
        name=f"GWAE ({config.prior} prior)",
        init=partial(gwae.init_state, config=config),
        train_step=partial(gwae.train_step, config=config),
        eval_step=partial(gwae.eval_step, config=config),
        autoencoder=gwae_networks.autoencoder(config),
        gromov_wasserstein=True,
    )


def names_of(config: Model) -> Names:
    """Of its weights in a file: for GWAE the official ones, for the others our own."""
    return _official_names(config) if isinstance(config, GWAEConfig) else own()


def _official_names(model: GWAEConfig) -> Names:
    """Those of the official GWAE code, whose names inside two of its options are not known."""

    def export(state: gwae.GWAEState) -> dict[str, np.ndarray]:
        for option in ("batch_norm", "residual_blocks"):
            if getattr(model, option):
                raise ValueError(f"those inside --model.{option.replace('_', '-')} are not known")
        return export_state_dict(state.params, state.critic, state.collections, model.prior)

    def insert(state: gwae.GWAEState, arrays: Mapping[str, np.ndarray]) -> gwae.GWAEState:
        return gwae_weights.import_official(arrays, state.key, model)

    return Names(export, insert)
