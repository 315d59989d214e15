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

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from experiments import cli
from experiments.experiment import About, Experiment, System
from experiments.run_report import titled
from experiments.session import Session, command_of
from experiments.zero_shot import protocol, stages
from experiments.zero_shot.protocol import DataConfig, EvaluateConfig
from experiments.zero_shot.report import findings, in_words
from train import config as train_config
from train.config import TrainConfig
from train.data.zero_shot import ZeroShotData
from train.run_directory import RunDirectory
from train.steps import cada_vae
from train.steps.cada_vae import IMAGE
from train.task import Task


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


BENCHMARKS: tuple[Any, ...] = ("cub", "sun", "awa1", "awa2")
SETTINGS: Any = ("gzsl", "zsl", "gfsl", "fsl")
PRESETS: dict[str, Config] = {
    "quick": QUICK,
    "paper": PAPER,
    **{
        name: replace(
            PAPER,
            preset=name,
            data=replace(PAPER.data, source="xlsa17"),
            evaluate=replace(PAPER.evaluate, stopping=name, settings=SETTINGS),
        )
        for name in BENCHMARKS
    },
}
CHANGEABLE = (*(name for name in train_config.RESUMABLE if name != "train.steps"), "evaluate", "preset")


def flow(session: Session[Config], config: Config) -> None:
    """config -> data -> VAEs -> classifier on latents -> report."""
    tasks = stages.tasks(protocol.open_data(config.data), config.evaluate.stopping)
    for data in tasks.values():
        protocol.check_settings(config.evaluate, data)
        stages.check_subsets(data, config.train.batch_size)
    session.begin()
    if session.replays:
        stages.check_trained(session.run, tasks)
    trained = {
        stage: stages.train(session, vaes(config, data, stage), config.model, data)
        for stage, data in tasks.items()
    }
    page = titled("CADA-VAE", in_words(config.data, config.preset))
    session.report(lambda run: findings(run, page, trained, config.evaluate, config.seed, config.preset))


def vaes(config: Config, data: ZeroShotData, stage: str = "") -> System[cada_vae.CADAVAEState]:
    """The VAEs of a task, with the official names."""
    # As many updates as it takes to see the training rows once, did the subsets not overlap.
    epoch = -(-len(data.trainval) // config.train.batch_size)
    sizes = {IMAGE: data.features.shape[1], **{name: a.shape[1] for name, a in data.attributes.items()}}
    shared = {"config": config.model, "sizes": sizes}
    return System(
        name="cada-vae",
        title="CADA-VAE",
        task=Task(
            partial(cada_vae.init_state, **shared),
            partial(cada_vae.train_step, **shared, steps_per_epoch=epoch),
            partial(protocol.latents_of_zeros, **shared),
        ),
        config=config,
        limits=replace(config.train, steps=config.train.steps or config.model.epochs * epoch),
        stage=stage,
        names=stages.official_names(config.data.attributes),
    )


def systems(config: Config, _: RunDirectory) -> Mapping[str, System[cada_vae.CADAVAEState]]:
    """The VAEs that learned from all training rows."""
    return {"cada-vae": vaes(config, protocol.open_data(config.data))}


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    cada_vae.check(config.model)
    remedy = "give 0; the classifier is what is validated, see --evaluate.stopping"
    cli.refuse_validation(config.train, remedy)
    # The published batch of 50 divides over few numbers of devices; these models are small enough for every device.
    train_config.check(replace(config.train, steps=config.train.steps or 1))


EXPERIMENT = Experiment(
    about=About(
        name="cada_vae_gzsl",
        paper="CADA-VAE: generalised zero- and few-shot learning (CVPR 2019)",
        data="3D Shapes classes, rendered; or xlsa17 files, npz",
        time="quick: 3.5 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda config: CHANGEABLE,
    published=("paper", *BENCHMARKS),
    systems=systems,
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
