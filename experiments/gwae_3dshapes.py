"""Gromov-Wasserstein autoencoders on 3D Shapes: what do they learn of the six factors?

Paper: Nakagawa, Togo, Ogawa and Haseyama, "Gromov-Wasserstein Autoencoders", ICLR 2023. No setting for 3D Shapes was
published: `paper` takes the constants of the official CelebA setting with the factorised neural prior and ten latents,
and adds a warm-up of 1,000 updates (`--model.warmup-steps 0` is without).
The embedded data are `shapes3d-procedural`, an approximation of 3D Shapes rendered on the device; `--data.source`
takes the real set. `--model.objective` trains the VAE or the beta-VAE on the same networks instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.representation import autoencoding
from experiments.representation.autoencoding import DataConfig, EvaluateConfig, ImageSystem, Member, Model
from experiments.representation.report import findings
from experiments.session import Session, command_of
from experiments.weight_names import Names, own
from jaxmodels.torch_import.gwae import export_state_dict
from train import config as train_config
from train.config import TrainConfig
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps import gwae, gwae_networks, gwae_weights, vae


@dataclass(frozen=True, kw_only=True)
class ModelConfig(gwae_networks.GWAEConfig, vae.VAEConfig):
    """The model. Settings of one objective are ignored by the others."""

    objective: Literal["gwae", "vae", "beta-vae"] = "gwae"
    """What is minimised; the VAE has beta = 1 whatever --model.beta says."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """GWAE on 3D Shapes."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


# Without the warm-up RMSprop's first updates blow the posterior's variance up: on these images the critic's second
# moments overflow at step 3 of some seeds.
PAPER = Config(
    preset="paper",
    model=ModelConfig(prior="factorised-neural", latent_dim=10, beta=4.0, warmup_steps=1000),
    train=TrainConfig(steps=100_000, batch_size=64),
)
QUICK = replace(
    PAPER,
    preset="quick",
    model=replace(
        PAPER.model,
        critic_steps=1,
        learning_rate=4e-4,
        critic_learning_rate=2e-4,
        warmup_steps=200,
        decay_steps=2000,
        distance_scale=12.0,
    ),
    train=replace(PAPER.train, steps=2000, batch_size=16, evaluate_every=500, checkpoint_every=500),
    data=replace(PAPER.data, validation_size=256),
    evaluate=EvaluateConfig(train_codes=1000, test_codes=500, votes=100, group=16, images=512),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}


def flow(session: Session[Config], config: Config) -> None:
    """config -> source -> train_step -> fit -> evaluate -> report."""
    session.check_batch(config.train)
    source, split = autoencoding.open_data(config.data, config.evaluate)
    member, size = member_of(config.model), config.train.batch_size
    session.begin()
    if 0 < config.model.decay_steps < config.train.steps:
        cli.say(f"after update {config.model.decay_steps} the learning rates stay at a hundredth")
    feed = autoencoding.training_feed(source, split, config.data, config.train, session.keys)
    validation = partial(autoencoding.validation_batches, source, split, config.data, size)
    trained = session.fit(member.task, feed, validation, config.train)
    model = Model(member, trained.state(config.evaluate.checkpoint), session.keys, config.seed)
    data = autoencoding.in_words(config.data)
    session.report(lambda run: findings(run, model, data, source, split, config.evaluate))


def member_of(config: ModelConfig) -> Member:
    """The member of the family with these settings."""
    if config.objective == "gwae":
        return Member(
            name=f"GWAE ({config.prior} prior)",
            init=partial(gwae.init_state, config=config),
            train_step=partial(gwae.train_step, config=config),
            eval_step=partial(gwae.eval_step, config=config),
            autoencoder=gwae_networks.autoencoder(config),
            gromov_wasserstein=True,
        )
    beta = 1.0 if config.objective == "vae" else config.beta
    settings = replace(config, beta=beta)
    return Member(
        name="VAE" if config.objective == "vae" else f"beta-VAE (beta {beta:g})",
        init=partial(vae.init_state, config=settings),
        train_step=partial(vae.train_step, config=settings),
        eval_step=partial(vae.eval_step, config=settings),
        autoencoder=vae.autoencoder(settings),
        gromov_wasserstein=False,
    )


def systems(config: Config, _: RunDirectory) -> Mapping[str, ImageSystem]:
    """The autoencoder of a run, by its objective."""
    member, name = member_of(config.model), config.model.objective
    names = official_names(config.model) if name == "gwae" else own()
    system = ImageSystem(
        name=name,
        title=member.name,
        task=member.task,
        config=config,
        limits=config.train,
        names=names,
        member=member,
    )
    return {name: system}


def official_names(model: ModelConfig) -> Names:
    """Those of the official GWAE code, whose names inside two of its options are not known."""

    def export(state: gwae.GWAEState) -> dict[str, np.ndarray]:
        for option in ("batch_norm", "residual_blocks"):
            if getattr(model, option):
                raise ValueError(f"those inside --model.{option.replace('_', '-')} are not known")
        return export_state_dict(state.params, state.critic, state.collections, model.prior)

    def insert(state: gwae.GWAEState, arrays: Mapping[str, np.ndarray]) -> gwae.GWAEState:
        return gwae_weights.import_official(arrays, state.key, model)

    return Names(export, insert)


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    train_config.check(config.train)
    autoencoding.check(config.data, config.evaluate, config.train)
    model = config.model
    if not 2 <= model.latent_dim <= autoencoding.FEWEST_IMAGES:
        problem = f"must be in [2, {autoencoding.FEWEST_IMAGES}]"
        raise UserError("--model.latent-dim", model.latent_dim, problem, "give e.g. 10")
    if 0 < model.decay_steps <= model.warmup_steps:
        remedy = "give a --model.decay-steps above it, or 0"
        raise UserError("--model.warmup-steps", model.warmup_steps, "outlasts the decay", remedy)


EXPERIMENT = Experiment(
    about=About(
        name="gwae_3dshapes",
        paper="Gromov-Wasserstein Autoencoders (ICLR 2023); VAE, beta-VAE",
        data="3D Shapes, rendered; or TFDS, h5, npz",
        time="quick: 5 to 9 min on 2 CPU cores",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda config: (*train_config.RESUMABLE, "evaluate", "preset"),
    reference_name="paper preset",
    systems=systems,
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
