"""The registry of what is trained on images with known factors: by its settings, each as a `System`.

A new member of the VAE family is one line in `Model` and one in `system`; a type checker finds the one that is missing.
"""

from functools import partial

from experiments.representation.autoencoding import System
from train.steps import dip_vae, factor_vae, gwae, gwae_networks, vae
from train.steps.dip_vae import DIPVAEConfig
from train.steps.factor_vae import FactorVAEConfig
from train.steps.gwae_networks import GWAEConfig
from train.steps.member import Member
from train.steps.vae import BetaVAEConfig, VAEConfig

Model = GWAEConfig | VAEConfig | BetaVAEConfig | FactorVAEConfig | DIPVAEConfig
"""Told apart by `objective`."""


def system(config: Model) -> System:
    """The system of these settings."""
    match config:
        case GWAEConfig():
            return _gwae(config)
        case VAEConfig() | BetaVAEConfig():
            return _of(vae.member(config))
        case FactorVAEConfig():
            return _of(factor_vae.member(config))
        case DIPVAEConfig():
            return _of(dip_vae.member(config))


def _of(member: Member) -> System:
    """A member of the VAE family."""
    return System(
        name=member.name,
        init=member.init,
        train_step=member.train_step,
        eval_step=member.eval_step,
        autoencoder=member.autoencoder,
        gromov_wasserstein=False,
    )


def _gwae(config: GWAEConfig) -> System:
    return System(
        name=f"GWAE ({config.prior} prior)",
        init=partial(gwae.init_state, config=config),
        train_step=partial(gwae.train_step, config=config),
        eval_step=partial(gwae.eval_step, config=config),
        autoencoder=gwae_networks.autoencoder(config),
        gromov_wasserstein=True,
    )
