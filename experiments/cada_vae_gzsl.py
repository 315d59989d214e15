"""CADA-VAE: aligned VAEs for generalised zero-shot and few-shot learning.

Paper: Schoenfeld, Ebrahimi, Sinha, Darrell and Akata, "Generalized Zero- and Few-Shot Learning via Aligned
Variational Autoencoders", CVPR 2019. `--preset cub`, `sun`, `awa1` or `awa2` with `--data.path FOLDER` (of
res101.mat and att_splits.mat) is the published protocol of that benchmark, with its official number of classifier
passes. `paper` takes the same constants on any data, and chooses that number on validation classes, which are carved
out of the training classes; `quick` is that for three seeds and, besides the passes, chooses how many latents the
unseen classes get. Nothing is ever chosen on test data.
Training lasts `--model.epochs` times the steps that see the training rows once, or `--train.steps` if that is not 0.
The embedded data are `shapes3d-procedural-zero-shot`: classes of the rendered 3D Shapes world, with features of a
frozen map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from experiments import cli
from experiments.entry import Entry
from experiments.run_report import of_file
from experiments.stored_models import Stored, published
from experiments.zero_shot import protocol
from experiments.zero_shot import report as zero_shot_report
from experiments.zero_shot.latent_classifier import LatentModel
from experiments.zero_shot.protocol import DataConfig, EvaluateConfig
from jaxmodels.torch_import.cada_vae import PREFIXES, export_state_dict, import_state_dict
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.data.zero_shot import ZeroShotData, scale, validation_task
from train.errors import UserError
from train.feed import DeviceFeed
from train.loop import fit
from train.run_directory import RunDirectory
from train.steps import cada_vae
from train.steps.cada_vae import IMAGE
from train.stored_state import load_state
from train.task import Task

NAME = "cada_vae_gzsl"
ABOUT = cli.About(
    name=NAME,
    paper="CADA-VAE: generalised zero- and few-shot learning (CVPR 2019)",
    data="3D Shapes classes, rendered; or xlsa17 files, npz",
    time="quick: 3.5 min on 2 CPU cores, three seeds",
)
VALIDATION = "validation"
"""The stage of a run whose VAEs see the training part of the validation task only."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """CADA-VAE on a zero-shot benchmark."""

    preset: Literal["quick", "paper", "cub", "sun", "awa1", "awa2"] = "quick"
    """`cub`, `sun`, `awa1`, `awa2`: the published protocol; `paper`: its constants on any data; `quick`: named
    departures, minutes on two CPU cores."""
    model: cada_vae.CADAVAEConfig = field(default_factory=cada_vae.CADAVAEConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=0, batch_size=50, inner_steps=100, evaluate_every=0),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    evaluate=replace(PAPER.evaluate, unseen_samples=(200, 400, 800), max_passes=60),
)


def _benchmark(name: Literal["cub", "sun", "awa1", "awa2"]) -> Config:
    settings: Any = ("gzsl", "zsl", "gfsl", "fsl")
    return replace(
        PAPER,
        preset=name,
        data=replace(PAPER.data, source="xlsa17"),
        evaluate=replace(PAPER.evaluate, stopping=name, settings=settings),
    )


PRESETS: dict[str, Config] = {
    "quick": QUICK,
    "paper": PAPER,
    **{name: _benchmark(name) for name in ("cub", "sun", "awa1", "awa2")},
}
CHANGEABLE = (*(name for name in train_config.RESUMABLE if name != "train.steps"), "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> data -> VAEs -> classifier on latents -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config)
    data = protocol.open_data(config.data)
    for part in stages(config, data).values():
        protocol.check_settings(config.evaluate, part)
        if config.train.batch_size > len(part.trainval):
            problem = f"a random subset of {len(part.trainval)} training rows can't have as many"
            raise UserError("--train.batch-size", config.train.batch_size, problem, "give a smaller one")
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS))
        states = {}
        for stage, part in stages(config, data).items():
            what = "the training part of the validation task" if stage else "all training rows"
            cli.say(f"training on {what}: {len(part.trainval):,} examples of {len(part.seen)} classes")
            states[stage] = devices.on_one_device(train(config, part, run.in_stage(stage), mesh))
        report(run, config, data, states)


def stages(config: Config, data: ZeroShotData) -> dict[str, ZeroShotData]:
    """The tasks that VAEs are trained for: the validation task, where that is what chooses, and the task itself."""
    if config.evaluate.stopping != "validation":
        return {"": data}
    return {VALIDATION: scale(validation_task(data)), "": data}


@dataclass(frozen=True)
class Pairs:
    """Examples (image features, attributes of their class) for the feed."""

    data: ZeroShotData

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays placed on the device."""
        return {IMAGE: self.data.features, "labels": self.data.labels, **self.data.attributes}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """{modality: [B, d]}."""
        labels = arrays["labels"][index]
        sides = {name: arrays[name][labels] for name in self.data.attributes}
        return {IMAGE: arrays[IMAGE][index], **sides}


def train(config: Config, data: ZeroShotData, run: RunDirectory, mesh: Mesh) -> cada_vae.CADAVAEState:
    """Trains one set of VAEs per seed, each step on a fresh random subset of the training rows."""
    feed = DeviceFeed.place(Pairs(data), data.trainval, config.train.batch_size, mesh, order="subsets")
    fitted = fit(
        task(config, data),
        feed,
        None,
        seeds.seed_keys(config.seed, config.seeds),
        schedule(config, data),
        run,
        mesh,
        first_seed=config.seed,
        profile=config.profile,
        tensorboard=config.tensorboard,
    )
    return fitted.last


def task(config: Config, data: ZeroShotData) -> Task:
    """What `fit` trains."""
    sizes = {IMAGE: data.features.shape[1], **{name: a.shape[1] for name, a in data.attributes.items()}}
    step = partial(
        cada_vae.train_step, config=config.model, sizes=sizes, steps_per_epoch=steps_per_epoch(config, data)
    )
    use = partial(protocol.latents_of_zeros, config=config.model, sizes=sizes)
    return Task(partial(cada_vae.init_state, config=config.model, sizes=sizes), step, use)


def steps_per_epoch(config: Config, data: ZeroShotData) -> int:
    """The steps that would see the training rows once if the subsets did not overlap."""
    return -(-len(data.trainval) // config.train.batch_size)


def schedule(config: Config, data: ZeroShotData) -> TrainConfig:
    """The settings of training with the number of steps that --model.epochs means for these data."""
    steps = config.train.steps or config.model.epochs * steps_per_epoch(config, data)
    return replace(config.train, steps=steps)


def report(
    run: RunDirectory, config: Config, data: ZeroShotData, states: Mapping[str, cada_vae.CADAVAEState]
) -> None:
    """Trains the classifiers on latents of each stage's VAEs, and writes results, figures and report."""
    if jax.process_index() != 0:
        return
    parts = stages(config, data)
    steps = {
        stage: (int(states[stage].step[0]), schedule(config, part).steps) for stage, part in parts.items()
    }
    for stage, (step, whole) in steps.items():
        if step < whole:
            cli.say(f"  the VAEs {stage or 'of the report'} were trained for {step} of {whole} steps only")
    trained = {
        stage: (LatentModel(config.model, states[stage].params, states[stage].key), part)
        for stage, part in parts.items()
    }
    measured = protocol.evaluate(trained[""], trained.get(VALIDATION), config.evaluate, config.seed)
    zero_shot_report.write_everything(
        run,
        trained[""][0],
        trained[""][1],
        measured,
        zero_shot_report.About(
            data=in_words(config),
            config=config.evaluate,
            first_seed=config.seed,
            steps=steps,
            benchmark=config.preset if config.preset in zero_shot_report.PUBLISHED else None,
            settings=cli.settings_of(config),
            reference=cli.settings_of(cli.published(config, PRESETS)),
        ),
    )


def in_words(config: Config) -> str:
    """What the data are, for the title."""
    if config.data.source == "procedural":
        return "rendered classes of 3D Shapes"
    if config.preset in zero_shot_report.PUBLISHED:
        return of_file(f"{config.preset.upper()}, read from the files", config.data.path)
    return of_file("classes", config.data.path)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from the newest checkpoints, with other settings of evaluation."""
    data = protocol.open_data(config.data)
    keys, states = seeds.seed_keys(config.seed, config.seeds), {}
    for stage, part in stages(config, data).items():
        protocol.check_settings(config.evaluate, part)
        if stage and not run.in_stage(stage).checkpoints.is_dir():
            problem = "the run was made without, and has no VAEs that never saw the validation classes"
            remedy = f"give fixed, or --resume {run.path} with --evaluate.stopping validation to train them"
            raise UserError("--stopping", "validation", problem, remedy)
        states[stage] = load_state(
            task(config, part), keys, schedule(config, part), run.in_stage(stage), "last"
        )
    report(run, config, data, states)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The VAEs that learned from all training rows, with the official names."""
    config = cli.from_json(Config, run.config)
    what = task(config, protocol.open_data(config.data))
    # Further kinds of attributes, of which the official code has none, go by their own names.
    prefixes = {**{kind: kind for kind in config.data.attributes}, **PREFIXES}
    names = published(
        partial(export_state_dict, prefixes=prefixes), partial(import_state_dict, prefixes=prefixes)
    )
    return {"cada-vae": Stored(run, config, config.train, what, "last", names)}


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    cada_vae.check(config.model)
    remedy = "give 0; the classifier is what is validated, see --evaluate.stopping"
    cli.refuse_validation(config.train, remedy)
    cli.check_least(
        [
            ("--train.steps", config.train.steps, 0),
            ("--model.epochs", config.model.epochs, 1),
            ("--model.latent-dim", config.model.latent_dim, 2),
        ]
    )
    cli.check_positive([("--model.learning-rate", config.model.learning_rate)])
    # The published batch of 50 divides over few numbers of devices; these models are small enough for every device.
    train_config.check(replace(config.train, steps=config.train.steps or 1), devices=1)


ENTRY = Entry(
    about=ABOUT,
    config=Config,
    check=check,
    evaluate=evaluate,
    stored_models=stored_models,
)

if __name__ == "__main__":
    cli.main(main)
