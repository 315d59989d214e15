"""Gromov-Wasserstein autoencoders on 3D Shapes: what do they learn of the six factors?

Paper: Nakagawa, Togo, Ogawa and Haseyama, "Gromov-Wasserstein Autoencoders", ICLR 2023. No setting for 3D Shapes was
published: `paper` takes the constants of the official CelebA setting with the factorised neural prior and ten latents,
and adds a warm-up of 1,000 updates (`--model.warmup-steps 0` is without).
The embedded data are `shapes3d-procedural`, an approximation of 3D Shapes rendered on the device; `--data.source`
takes the real set. `--model.objective` trains another model on the same networks instead: vae, beta-vae, factor-vae or
dip-vae, with the settings that they share as in the preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.representation import autoencoding
from experiments.representation.autoencoding import DataConfig, EvaluateConfig, ImageSystem, Learned
from experiments.representation.models import Model, learner, names_of
from experiments.representation.report import findings
from experiments.session import Session, command_of
from train import config as train_config
from train.config import TrainConfig
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps.factor_vae import FactorVAEConfig
from train.steps.gwae_networks import GWAEConfig


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


def flow(session: Session[Config], config: Config) -> None:
    """config -> source -> train_step -> fit -> evaluate -> report."""
    session.check_batch(config.train)
    source, split = autoencoding.open_data(config.data, config.evaluate)
    model, size = learner(config.model), config.train.batch_size
    session.begin()
    if 0 < config.model.decay_steps < config.train.steps:
        cli.say(f"after update {config.model.decay_steps} the learning rates stay at a hundredth")
    feed = autoencoding.training_feed(source, split, config.data, config.train, session.keys)
    validation = partial(autoencoding.validation_batches, source, split, config.data, size)
    trained = session.fit(model.task, feed, validation, config.train)
    learned = Learned(model, trained.state(config.evaluate.checkpoint), session.keys, config.seed)
    data = autoencoding.in_words(config.data)
    session.report(lambda run: findings(run, learned, data, source, split, config.evaluate))


def systems(config: Config, _: RunDirectory) -> Mapping[str, ImageSystem]:
    """The autoencoder of a run, by its objective."""
    name, model = config.model.objective, learner(config.model)
    system = ImageSystem(
        name=name,
        title=model.name,
        task=model.task,
        config=config,
        limits=config.train,
        names=names_of(config.model),
        learner=model,
    )
    return {name: system}


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    model = config.model
    halved = isinstance(model, FactorVAEConfig) and model.second_batch
    train_config.check(config.train, least_batch=4 if halved else 2)
    autoencoding.check(config.data, config.evaluate, config.train)
    if not 2 <= model.latent_dim <= autoencoding.FEWEST_IMAGES:
        problem = f"must be in [2, {autoencoding.FEWEST_IMAGES}]"
        raise UserError("--model.latent-dim", model.latent_dim, problem, "give e.g. 10")
    if 0 < model.decay_steps <= model.warmup_steps:
        remedy = "give a --model.decay-steps above it, or 0"
        raise UserError("--model.warmup-steps", model.warmup_steps, "outlasts the decay", remedy)


EXPERIMENT = Experiment(
    about=About(
        name="gwae_3dshapes",
        paper="Gromov-Wasserstein Autoencoders (ICLR 2023); VAEs",
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
