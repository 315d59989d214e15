"""What is measured of the trainings of `mi_minimisation`, on test images and from logs, for every seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.vae import reparameterise
from objectives.mutual_information import lower, upper
from objectives.mutual_information.conditional import gaussian_scores
from train.bounds import AtLeast
from train.data.digits import Images
from train.errors import UserError
from train.metrics_log import read_metrics
from train.run_directory import RunDirectory
from train.seeds import over_seeds
from train.steps import domain_adaptation, information_bottleneck
from train.steps.information_bottleneck import encode, pixels_of

TESTED = 2**31 - 3
"""Folded into a seed's key for the noise of its tests; steps never reach it."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How the trained networks are tested."""

    samples: Annotated[int, AtLeast(1)] = 12
    """Latents that the class probabilities of an image are the mean over, in the bottleneck."""
    pairs: Annotated[int, AtLeast(2)] = 2000
    """Test images, at most, that the information in the latent is measured on."""
    batch_size: Annotated[int, AtLeast(2)] = 200
    """Images that are recognised at a time in domain adaptation, whose features depend on it."""


class Course(NamedTuple):
    """Gaussians: what was logged, in nats [times, seeds]."""

    steps: Int[np.ndarray, " times"]
    mutual_information: Float[np.ndarray, "times seeds"]
    estimate: Float[np.ndarray, "times seeds"]
    analytic_club: Float[np.ndarray, "times seeds"]


class Kept(NamedTuple):
    """The bottleneck on test images.

    Attributes:
      error: share of wrong classes.
      lower: InfoNCE with the encoder's own p(z|x), a lower bound on I(x; z) in expectation, at most log of the images.
      upper: leave-one-out with the same, an upper bound in expectation.
      rate: VUB, another one.
    """

    error: Float[np.ndarray, " seeds"]
    lower: Float[np.ndarray, " seeds"]
    upper: Float[np.ndarray, " seeds"]
    rate: Float[np.ndarray, " seeds"]


class Recognised(NamedTuple):
    """Domain adaptation: the share of test images of either domain whose class is found."""

    source: Float[np.ndarray, " seeds"]
    target: Float[np.ndarray, " seeds"]


Found = Mapping[str, Mapping[str, Course | Kept | Recognised]]
"""By part, then by estimate, penalty or method."""


def course(run: RunDirectory) -> Course:
    """Reads the log of a stage.

    Raises:
      UserError: it is gone.
    """
    series = read_metrics(run.metrics)
    if not set(Course._fields[1:]) <= set(series):
        raise UserError("metrics log", run.metrics, "has no estimates", f"--resume {run.path}")
    steps = series["estimate"][0]
    columns = {name: series[name][1].reshape(len(steps), -1) for name in Course._fields[1:]}
    return Course(steps, **columns)


def kept(
    states: PyTree,
    images: Images,
    settings: information_bottleneck.BottleneckConfig,
    penalty: information_bottleneck.Penalty,
    config: EvaluateConfig,
) -> Kept:
    """Tests the stacked states of a bottleneck; of the deterministic network nothing bounds the information."""

    def of_seed(state: PyTree, image: Array, label: Array) -> tuple[Array, ...]:
        key, noise_key = jax.random.split(jax.random.fold_in(state.key, TESTED))
        found = information_bottleneck.predict(state.params, image, key, settings, penalty, config.samples)
        error = jnp.mean(jnp.argmax(found, axis=-1) != label)
        mu, logvar = encode(state.params, pixels_of(image[: config.pairs]), settings)
        z = reparameterise(mu, logvar, jax.random.normal(noise_key, mu.shape))
        scores = gaussian_scores(z, mu, logvar)
        rate = jnp.mean(upper.vub(mu, logvar))
        return error, lower.infonce(scores), upper.leave_one_out(scores), rate

    seeds = len(states.step)
    tested = jax.jit(over_seeds(of_seed, (0, None, None), seeds))(states, images.image, images.label)
    error, *bounds = (np.asarray(values, np.float64) for values in tested)
    if penalty == "none":
        bounds = [np.full(seeds, np.nan)] * len(bounds)
    return Kept(error, *bounds)


def recognised(
    states: PyTree,
    source: Images,
    target: Images,
    settings: domain_adaptation.AdaptationConfig,
    config: EvaluateConfig,
) -> Recognised:
    """Tests the stacked states of a domain adaptation."""

    def of_seed(state: PyTree, image: Array) -> Array:
        return domain_adaptation.predict(state.params, image, settings)

    predict = jax.jit(over_seeds(of_seed, (0, None), len(states.step)))

    def accuracy(images: Images) -> Float[np.ndarray, " seeds"]:
        found = [
            (np.asarray(predict(states, images.image[rows])) == images.label[rows])[:, new:]
            for rows, new in batches(len(images), config.batch_size)
        ]
        return np.concatenate(found, axis=1).mean(axis=1)

    return Recognised(accuracy(source), accuracy(target))


def batches(size: int, batch: int) -> list[tuple[slice, int]]:
    """Batches of equal length that cover `size` rows: the last goes back as far as it must.

    Returns:
      For each its rows, and how many of them an earlier batch had.
    """
    batch = min(batch, size)
    starts = [*range(0, size - batch, batch), size - batch]
    ends = [0, *(start + batch for start in starts)]
    return [(slice(start, start + batch), end - start) for start, end in zip(starts, ends, strict=False)]
