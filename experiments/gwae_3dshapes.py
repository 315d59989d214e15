"""Gromov-Wasserstein autoencoders on 3D Shapes: what do they learn of the six factors?

Paper: Nakagawa, Togo, Ogawa and Haseyama, "Gromov-Wasserstein Autoencoders", ICLR 2023. No setting for 3D Shapes was
published: `paper` takes the constants of the official CelebA setting with the factorised neural prior and ten latents,
and adds a warm-up of 1,000 updates (`--model.warmup-steps 0` is without).
The embedded data are `shapes3d-procedural`, an approximation of 3D Shapes rendered on the device; `--data.source`
takes the real set. `--model.objective` trains another model on the same networks instead: vae, beta-vae, factor-vae or
dip-vae, with the settings that they share as in the preset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import PyTree

from experiments import cli, run_report
from experiments.entry import Entry
from experiments.representation import autoencoding
from experiments.representation.autoencoding import DataConfig, EvaluateConfig, System
from experiments.representation.models import Model, system
from experiments.representation.report import evaluate_and_report
from experiments.stored_models import Names, Stored, own
from jaxmodels.torch_import.gwae import export_state_dict
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.errors import UserError
from train.feed import make_feed
from train.loop import fit
from train.run_directory import RunDirectory
from train.steps import gwae, gwae_weights
from train.steps.dip_vae import DIPVAEConfig
from train.steps.factor_vae import FactorVAEConfig
from train.steps.gwae_networks import GWAEConfig
from train.steps.vae import ELBOConfig
from train.stored_state import Which, load_state

NAME = "gwae_3dshapes"
ABOUT = cli.About(
    name=NAME,
    paper="Gromov-Wasserstein Autoencoders (ICLR 2023); VAEs",
    data="3D Shapes, rendered; or TFDS, h5, npz",
    time="quick: 5 to 9 min on 2 CPU cores",
)


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """GWAE on 3D Shapes."""

    model: Model = field(default_factory=GWAEConfig)
    """Of --model.objective gwae, vae, beta-vae, factor-vae or dip-vae; shown are the settings of that one."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


# Without the warm-up RMSprop's first updates blow the posterior's variance up: on these images the critic's second
# moments overflow at step 3 of some seeds.
PAPER = Config(
    preset="paper",
    model=GWAEConfig(prior="factorised-neural", latent_dim=10, warmup_steps=1000),
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
CHANGEABLE = (*train_config.RESUMABLE, "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> source -> state -> train_step -> fit -> evaluate -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config, mesh.size)
    source, split = autoencoding.open_data(config.data, config.evaluate)
    model = system(config.model)
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS))
        if 0 < config.model.decay_steps < config.train.steps:
            cli.say(f"after update {config.model.decay_steps} the learning rates stay at a hundredth")
        keys = seeds.seed_keys(config.seed, config.seeds)
        rows = split.train[: config.data.train_size or None]
        budget = int(config.data.device_gb * 1e9)
        feed = make_feed(source, rows, config.train.batch_size, keys, mesh, config.train.inner_steps, budget)
        validation = autoencoding.validation_batches(
            source, split, config.data, config.train.batch_size, mesh
        )
        fitted = fit(
            model.task,
            feed,
            validation,
            keys,
            config.train,
            run,
            mesh,
            first_seed=config.seed,
            profile=config.profile,
            tensorboard=config.tensorboard,
        )
        state = fitted.best if config.evaluate.checkpoint == "best" else fitted.last
        evaluate_and_report(run, trained(config, model, state), source, split, config.evaluate)


def trained(config: Config, system: System, state: PyTree) -> autoencoding.Trained:
    """A stacked state with what evaluation needs to know about it."""
    return autoencoding.Trained(
        title=run_report.titled(system.name, autoencoding.in_words(config.data)),
        system=system,
        state=state,
        keys=seeds.seed_keys(config.seed, config.seeds),
        first_seed=config.seed,
        settings=cli.settings_of(config),
        reference=cli.settings_of(cli.published(config, PRESETS)),
    )


def load_autoencoder(run: RunDirectory, which: Which) -> autoencoding.Trained:
    """What a run trained, from its `last` or its `best` checkpoint, for the commands on runs."""
    config = cli.from_json(Config, run.config)
    keys, model = seeds.seed_keys(config.seed, config.seeds), system(config.model)
    return trained(config, model, load_state(model.task, keys, config.train, run, which))


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The autoencoder of a run: GWAE with the official names, the VAEs with ours."""
    config = cli.from_json(Config, run.config)
    names = official_names(config.model) if isinstance(config.model, GWAEConfig) else own()
    task = system(config.model).task
    return {config.model.objective: Stored(run, config, config.train, task, "last", names)}


def official_names(model: GWAEConfig) -> Names:
    """Those of the official GWAE code, whose names inside two of its options are not known."""

    def export(state: gwae.GWAEState) -> dict[str, np.ndarray]:
        for option in ("batch_norm", "residual_blocks"):
            if getattr(model, option):
                raise ValueError(f"those inside --model.{option.replace('_', '-')} are not known")
        return export_state_dict(state.params, state.critic, state.collections, model.prior)

    def insert(state: gwae.GWAEState, arrays: Mapping[str, np.ndarray]) -> gwae.GWAEState:
        return gwae_weights.import_official(arrays, state.key, model)

    return Names(export, insert)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, with other settings of evaluation."""
    autoencoding.check(config.data, config.evaluate, config.train)
    source, split = autoencoding.open_data(config.data, config.evaluate)
    model = replace(load_autoencoder(run, config.evaluate.checkpoint), settings=cli.settings_of(config))
    evaluate_and_report(run, model, source, split, config.evaluate)


def check(config: Config, device_count: int = 1) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    train_config.check(config.train, device_count)
    autoencoding.check(config.data, config.evaluate, config.train)
    model = config.model
    cli.check_least(
        [
            ("--model.latent-dim", model.latent_dim, 2),
            ("--model.warmup-steps", model.warmup_steps, 0),
            ("--model.decay-steps", model.decay_steps, 0),
        ]
    )
    cli.check_positive([("--model.learning-rate", model.learning_rate)])
    match model:
        case GWAEConfig():
            least = [("critic-steps", model.critic_steps, 1), ("components", model.components, 1)]
            positive = [
                ("critic-learning-rate", model.critic_learning_rate),
                ("distance-scale", model.distance_scale),
            ]
        case FactorVAEConfig():
            least = [("gamma", model.gamma, 0)]
            positive = [("critic-learning-rate", model.critic_learning_rate)]
            if model.second_batch:
                train_config.check(config.train, device_count, least_batch=4)
        case DIPVAEConfig():
            least, positive = [("off-diagonal", model.off_diagonal, 0), ("diagonal", model.diagonal, 0)], []
        case ELBOConfig():
            least, positive = [], [("beta-steps", model.beta_steps)]
    cli.check_least((f"--model.{name}", value, low) for name, value, low in least)
    cli.check_positive((f"--model.{name}", value) for name, value in positive)
    if 0 < model.decay_steps <= model.warmup_steps:
        remedy = "give a --model.decay-steps above it, or 0"
        raise UserError("--model.warmup-steps", model.warmup_steps, "outlasts the decay", remedy)
    if model.latent_dim > autoencoding.FEWEST_IMAGES:
        remedy = f"give at most {autoencoding.FEWEST_IMAGES}"
        raise UserError("--model.latent-dim", model.latent_dim, "is too large", remedy)


ENTRY = Entry(
    about=ABOUT,
    config=Config,
    check=check,
    evaluate=evaluate,
    stored_models=stored_models,
    load_autoencoder=load_autoencoder,
)

if __name__ == "__main__":
    cli.main(main)
