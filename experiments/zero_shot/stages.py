"""The trainings of a zero-shot run: of the task, and of its validation task where that chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from experiments import cli
from experiments.experiment import System
from experiments.session import Session
from experiments.weight_names import Names, published
from experiments.zero_shot.latent_classifier import LatentModel
from jaxmodels.torch_import.cada_vae import PREFIXES, export_state_dict, import_state_dict
from train import devices
from train.data.zero_shot import ZeroShotData, scale, validation_task
from train.errors import UserError
from train.feed import DeviceFeed
from train.run_directory import RunDirectory
from train.steps.cada_vae import IMAGE, CADAVAEConfig, CADAVAEState

VALIDATION = "validation"
"""The stage of a run whose VAEs see the training part of the validation task only."""


class Stage(NamedTuple):
    """The VAEs of a training, the task that they learned, and how many of the updates that were wanted are done."""

    vae: LatentModel
    data: ZeroShotData
    done: int
    wanted: int


@dataclass(frozen=True)
class Pairs:
    """Examples (image features, attributes of their class) for the feed."""

    data: ZeroShotData

    @property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """What lives on the device."""
        return {IMAGE: self.data.features, "labels": self.data.labels, **self.data.attributes}

    def take(self, arrays: Mapping[str, Array], index: Int[Array, "B"]) -> dict[str, Array]:
        """{modality: [B, d]}."""
        labels = arrays["labels"][index]
        sides = {name: arrays[name][labels] for name in self.data.attributes}
        return {IMAGE: arrays[IMAGE][index], **sides}


def tasks(data: ZeroShotData, stopping: str) -> dict[str, ZeroShotData]:
    """What VAEs are trained for, by stage: the validation task, where that is what chooses, and the task itself."""
    if stopping != "validation":
        return {"": data}
    return {VALIDATION: scale(validation_task(data)), "": data}


def check_subsets(data: ZeroShotData, batch_size: int) -> None:
    """Raises UserError for a batch that can't be a subset of the training rows."""
    if batch_size > len(data.trainval):
        problem = f"a random subset of {len(data.trainval)} training rows can't have as many"
        raise UserError("--train.batch-size", batch_size, problem, "give a smaller one")


def check_trained(run: RunDirectory, stages: Mapping[str, ZeroShotData]) -> None:
    """Raises UserError where validation is to choose in a run that was made without."""
    if VALIDATION in stages and not run.in_stage(VALIDATION).checkpoints.is_dir():
        problem = "the run was made without, and has no VAEs that never saw the validation classes"
        remedy = f"give fixed, or --resume {run.path} with --evaluate.stopping validation to train them"
        raise UserError("--stopping", "validation", problem, remedy)


def train(
    session: Session[Any], system: System[CADAVAEState], config: CADAVAEConfig, data: ZeroShotData
) -> Stage:
    """Trains one set of VAEs per seed on a task, each step on a fresh random subset of the training rows."""
    limits, stage = system.limits, system.stage
    if not session.replays:
        what = "the training part of the validation task" if stage else "all training rows"
        cli.say(f"training on {what}: {len(data.trainval):,} examples of {len(data.seen)} classes")

    def feed(mesh: Mesh) -> DeviceFeed:
        return DeviceFeed.place(Pairs(data), data.trainval, limits.batch_size, mesh, order="subsets")

    trained = session.fit(system.task, feed, None, limits, stage)
    state = devices.on_one_device(trained.state("last"))
    vae = LatentModel(config, state.params, state.key)
    return Stage(vae, data, done=int(state.step[0]), wanted=limits.steps)


def official_names(kinds: Sequence[str]) -> Names:
    """Of the weights, given the kinds of attributes: further ones than the official code has go by their own names."""
    prefixes = {**{kind: kind for kind in kinds}, **PREFIXES}
    return published(
        partial(export_state_dict, prefixes=prefixes), partial(import_state_dict, prefixes=prefixes)
    )
