"""What a run of `mi_minimisation` trains: the stages of its three parts."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from train.data import domains
from train.data.digits import Images
from train.data.domains import TwoDomains
from train.data.standard_normal import StandardNormal
from train.feed import DeviceFeed, Feed
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
    """

    part: Part
    name: str
    steps: int
    task: Task[Any]
    feed: Callable[[Mesh], Feed]

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
        return Stage("gaussians", estimate, config.steps, task, lambda mesh: noise)

    return [stage(estimate) for estimate in estimates]


def of_bottleneck(
    config: information_bottleneck.BottleneckConfig, penalties: Sequence[str], train: Images
) -> list[Stage]:
    """A stage for each penalty, by its name in the paper."""
    per_epoch, pixels = -(-len(train) // config.batch_size), int(np.prod(train.image.shape[1:]))
    two = jnp.asarray(train.image[:2])

    def stage(name: str) -> Stage:
        shared = {"config": config, "penalty": information_bottleneck.PENALTIES[name]}
        task = Task(
            init=partial(information_bottleneck.init_state, pixels=pixels, **shared),
            train_step=partial(information_bottleneck.train_step, steps_per_epoch=per_epoch, **shared),
            use=lambda state: information_bottleneck.predict(state.params, two, state.key, **shared),
        )
        feed = partial(_place, train, config.batch_size)
        return Stage("bottleneck", name, config.epochs * per_epoch, task, feed)

    return [stage(name) for name in penalties]


def of_adaptation(
    config: domain_adaptation.AdaptationConfig,
    methods: Sequence[domain_adaptation.Method],
    domain: domains.Domain,
    train: Images,
) -> list[Stage]:
    """A stage for each method, and one that learns from labels of the target."""
    source, target = in_both_domains(train, domain)
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

        return Stage("adaptation", name, config.steps, task, feed)

    return [*(stage(name, name, source) for name in methods), stage(TARGET_LABELS, "source-only", target)]


def in_both_domains(images: Images, domain: domains.Domain) -> tuple[Images, Images]:
    """The first half of the images in the source, the other half in the target: no original is in both."""
    half = len(images) // 2
    first, second = (
        Images(images.image[part], images.label[part]) for part in (slice(half), slice(half, None))
    )
    return domains.in_colour(first), domains.to_domain(second, domain, seed=0)


def _place(images: Images, size: int, mesh: Mesh) -> Feed:
    return DeviceFeed.place(images, np.arange(len(images)), size, mesh)
