"""What a run of `mi_minimisation` trains: the stages of its three parts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from experiments import cli
from experiments.information.minimisation_measures import (
    Course,
    EvaluateConfig,
    Found,
    Kept,
    Recognised,
    course,
    kept,
    recognised,
)
from experiments.session import Session
from train import devices
from train.config import TrainConfig
from train.data import domains
from train.data.digits import Digits, Images
from train.data.domains import TwoDomains
from train.data.standard_normal import StandardNormal
from train.feed import DeviceFeed, Feed
from train.run_directory import RunDirectory
from train.steps import domain_adaptation, information_bottleneck, mixed_gaussians
from train.task import Task

Part = Literal["gaussians", "bottleneck", "adaptation"]
TARGET_LABELS = "labels of the target"
"""The network of `source-only` on the target and its labels: what could be reached."""


class Stage(NamedTuple):
    """One training of every seed.

    Attributes:
      part: which experiment.
      name: its estimate, penalty or method.
      steps: updates.
      task: what `fit` trains.
      feed: makes the batches, given the mesh.
      measure: what is tested of it, given the run with this stage, and the last state of every seed.
    """

    part: Part
    name: str
    steps: int
    task: Task[Any]
    feed: Callable[[Mesh], Feed]
    measure: Callable[[RunDirectory, PyTree], Course | Kept | Recognised]

    @property
    def folder(self) -> str:
        """Where it lies in the run."""
        return f"{self.part}/{self.name.lower().replace(' ', '-')}"


def of_gaussians(
    config: mixed_gaussians.MixingConfig, estimates: Sequence[mixed_gaussians.Estimate]
) -> list[Stage]:
    """A stage for each estimate."""
    noise = StandardNormal((config.batch_size, 1 + config.q_steps, 2, config.dim))

    def stage(estimate: mixed_gaussians.Estimate) -> Stage:
        task = Task(
            init=partial(mixed_gaussians.init_state, config=config),
            train_step=partial(mixed_gaussians.train_step, config=config, estimate=estimate),
            use=None,
        )
        return Stage(
            "gaussians", estimate, config.steps, task, lambda mesh: noise, lambda run, _: course(run)
        )

    return [stage(estimate) for estimate in estimates]


def of_bottleneck(
    config: information_bottleneck.BottleneckConfig,
    penalties: Sequence[information_bottleneck.PenaltyName],
    data: Digits,
    evaluate: EvaluateConfig,
) -> list[Stage]:
    """A stage for each penalty, by its name in the paper."""
    train = data.train
    per_epoch, pixels = -(-len(train) // config.batch_size), int(np.prod(train.image.shape[1:]))
    two = jnp.asarray(train.image[:2])

    def stage(name: information_bottleneck.PenaltyName) -> Stage:
        shared = {"config": config, "penalty": information_bottleneck.PENALTIES[name]}
        task = Task(
            init=partial(information_bottleneck.init_state, pixels=pixels, **shared),
            train_step=partial(information_bottleneck.train_step, steps_per_epoch=per_epoch, **shared),
            use=lambda state: information_bottleneck.predict(state.params, two, state.key, **shared),
        )

        def measure(_: RunDirectory, state: PyTree) -> Kept:
            return kept(state, data.test, config, information_bottleneck.PENALTIES[name], evaluate)

        feed = partial(_place, train, config.batch_size)
        return Stage("bottleneck", name, config.epochs * per_epoch, task, feed, measure)

    return [stage(name) for name in penalties]


def of_adaptation(
    config: domain_adaptation.AdaptationConfig,
    methods: Sequence[domain_adaptation.Method],
    domain: domains.Domain,
    data: Digits,
    evaluate: EvaluateConfig,
) -> list[Stage]:
    """A stage for each method, and one that learns from labels of the target."""
    source, target = in_both_domains(data.train, domain)
    two = jnp.asarray(source.image[:2])
    init = partial(domain_adaptation.init_state, config=config, shape=source.image.shape[1:])

    def stage(name: str, method: domain_adaptation.Method, labelled: Images) -> Stage:
        task = Task(
            init,
            partial(domain_adaptation.train_step, config=config, method=method),
            lambda state: domain_adaptation.predict(state.params, two, config),
        )

        def feed(mesh: Mesh) -> Feed:
            size = config.batch_size
            return TwoDomains(_place(labelled, size, mesh), _place(target, size, mesh))

        def measure(_: RunDirectory, state: PyTree) -> Recognised:
            return recognised(state, *in_both_domains(data.test, domain), config, evaluate)

        return Stage("adaptation", name, config.steps, task, feed, measure)

    return [*(stage(name, name, source) for name in methods), stage(TARGET_LABELS, "source-only", target)]


def train(session: Session[Any], stage: Stage, limits: TrainConfig) -> PyTree:
    """Trains a stage and returns the last state of every seed."""
    began = time.monotonic()
    if not session.replays:
        cli.say(f"{stage.part}, {stage.name}")
    trained = session.fit(stage.task, stage.feed, None, replace(limits, steps=stage.steps), stage.folder)
    state = devices.on_one_device(trained.state("last"))
    if not session.replays:
        cli.say(f"  {time.monotonic() - began:.0f} s")
    return state


def measured(run: RunDirectory, states: Mapping[Stage, PyTree]) -> Found:
    """Every stage tested, by part and name."""
    found: dict[str, dict[str, Course | Kept | Recognised]] = {}
    for stage, state in states.items():
        found.setdefault(stage.part, {})[stage.name] = stage.measure(run.in_stage(stage.folder), state)
    return found


def in_both_domains(images: Images, domain: domains.Domain) -> tuple[Images, Images]:
    """The first half of the images in the source, the other half in the target: no original is in both."""
    half = len(images) // 2
    first, second = (
        Images(images.image[part], images.label[part]) for part in (slice(half), slice(half, None))
    )
    return domains.in_colour(first), domains.to_domain(second, domain, seed=0)


def _place(images: Images, size: int, mesh: Mesh) -> Feed:
    return DeviceFeed.place(images, np.arange(len(images)), size, mesh)
