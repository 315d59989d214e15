"""Training a classifier on latents that are drawn from aligned VAEs, and testing it, for every seed at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from train.data.zero_shot import ZeroShotData, few_shot, first_rows
from train.metrics.zero_shot import confusion_matrix, harmonic_mean, per_class_accuracy
from train.seeds import over_seeds
from train.steps.cada_vae import IMAGE, CADAVAEConfig, draw, encode
from train.steps.cada_vae_classifier import (
    ClassifierConfig,
    ClassifierState,
    classifier_pass,
    init_classifier,
    predict,
)

CLASSIFIER = 2**31 - 3
"""Folded into a seed's key for its latents and classifiers; steps never reach it."""
ENCODED_AT_ONCE = 1024


class Setting(NamedTuple):
    """One question that is asked of the model."""

    generalised: bool
    shots: int = 0

    @property
    def name(self) -> str:
        """As in the papers: GZSL, ZSL, GFSL 5-shot, FSL 5-shot."""
        name = ("G" if self.generalised else "") + ("FSL" if self.shots else "ZSL")
        return f"{name} {self.shots}-shot" if self.shots else name


class Outcome(NamedTuple):
    """What the classifiers of all seeds reached, per pass: accuracies averaged over classes, in [0, 1].

    Without seen classes there is no `seen`, and `score` is the accuracy on the unseen ones.
    """

    seen: Float[np.ndarray, "seeds passes"]
    unseen: Float[np.ndarray, "seeds passes"]
    score: Float[np.ndarray, "seeds passes"]
    confusion: Float[np.ndarray, "classes classes"]
    classes: Int[np.ndarray, " classes"]


@dataclass(frozen=True)
class LatentModel:
    """Trained VAEs of some seeds, on one device.

    Attributes:
      config: of the VAEs.
      params: of every seed, leading axis [seeds].
      keys: of every seed.
    """

    config: CADAVAEConfig
    params: PyTree
    keys: jax.Array

    def means(self, modality: str, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "seeds n l"]:
        """Posterior means."""
        encode = partial(_encode, config=self.config, modality=modality)
        return np.asarray(jax.jit(over_seeds(encode, (0, None), len(self.keys)))(self.params, x)[0])


def _encode(
    params: PyTree, x: Float[Array, "n d"], config: CADAVAEConfig, modality: str
) -> tuple[Float[Array, "n l"], Float[Array, "n l"]]:
    """(mu, logvar) of many rows, in pieces: hidden layers are wider than the features."""

    def one(row: Float[Array, " d"]) -> tuple[Array, Array]:
        mu, logvar = encode(params, config, modality, row[None])
        return mu[0], logvar[0]

    return jax.lax.map(one, x, batch_size=ENCODED_AT_ONCE)


class Problem(NamedTuple):
    """What one seed's classifier learns from and is tested on.

    Attributes:
      images: rows of the image features that latents are drawn from, each once.
      classes: global classes whose attributes latents are drawn from, each once.
      labels: of those latents, images first, in [0, K).
      seen: test rows of seen classes; none where only unseen classes are told apart.
      unseen: test rows of unseen classes.
    """

    images: Int[np.ndarray, " n"]
    classes: Int[np.ndarray, " m"]
    labels: Int[np.ndarray, " latents"]
    seen: Int[np.ndarray, " s"]
    unseen: Int[np.ndarray, " u"]


def make_problem(
    data: ZeroShotData, setting: Setting, samples: tuple[int, int], seed: int
) -> tuple[Problem, Int[np.ndarray, " K"]]:
    """One seed's problem, and the global classes that its labels stand for, ascending.

    Latents come in the official order: images of seen classes, images of unseen classes (few-shot), attributes of
    unseen classes.

    Args:
      data: the task.
      setting: which classes are told apart, and the shots.
      samples: latents of each class and source; those from attributes of an unseen class.
      seed: of the few-shot draw.
    """
    support = np.zeros(0, np.int32)
    if setting.shots:
        data, support = few_shot(data, setting.shots, seed)
    told_apart = np.union1d(data.seen, data.unseen) if setting.generalised else data.unseen
    sources = [data.trainval, support] if setting.generalised else [support]
    images = np.concatenate([first_rows(rows, data.labels[rows], samples[0]) for rows in sources])
    classes = np.repeat(data.unseen, samples[1])
    labels = np.searchsorted(told_apart, np.concatenate([data.labels[images], classes]))
    seen = data.test_seen if setting.generalised else data.test_seen[:0]
    return Problem(images, classes, labels.astype(np.int32), seen, data.test_unseen), told_apart


class Run(NamedTuple):
    """One seed's classifier, the latents it learns from, and those it is tested on."""

    state: ClassifierState
    z: Float[Array, "n l"]
    labels: Int[Array, " n"]
    seen: Float[Array, "s l"]
    unseen: Float[Array, "u l"]


def run_classifiers(
    vae: LatentModel,
    data: ZeroShotData,
    setting: Setting,
    samples: tuple[int, int],
    passes: int,
    config: ClassifierConfig,
    first_seed: int,
    shown: int = 0,
) -> Outcome:
    """Draws latents once, trains the classifier of every seed, and tests it after each pass.

    Args:
      vae: the VAEs.
      data: the task.
      setting: which classes are told apart, and the shots.
      samples: latents of each class and source; those from attributes of an unseen class.
      passes: over the latents.
      config: the classifier's optimiser.
      first_seed: of the run; seed k draws its shots by its own number.
      shown: the pass that the confusion matrix is of (0: none).
    """
    seeds = len(vae.keys)
    made = [make_problem(data, setting, samples, first_seed + i) for i in range(seeds)]
    problem = Problem(*(np.stack(part) for part in zip(*(p for p, _ in made), strict=True)))
    classes = made[0][1]
    start = partial(_start, setting=setting, count=len(classes), vae=vae.config, config=config)
    start = jax.jit(over_seeds(start, (0, 0, 0, None, None), seeds))
    run = start(vae.params, vae.keys, problem, data.features, dict(data.attributes))
    one_pass = partial(_one_pass, config=config, wrap=not setting.generalised)
    one_pass = jax.jit(over_seeds(one_pass, (0,), seeds), donate_argnums=0)
    score = _Score(data, setting, problem, classes)
    outcomes, confusion = [], np.full((len(classes), len(classes)), np.nan)
    for index in range(1, passes + 1):
        run, predictions = one_pass(run)
        predictions = jax.device_get(predictions)
        outcomes.append(score(predictions))
        if index == shown:
            confusion = score.confusion(predictions)
    seen, unseen, mean = np.moveaxis(np.asarray(outcomes), 0, -1)
    return Outcome(seen, unseen, mean, confusion, classes)


def _start(
    params: PyTree,
    key: jax.Array,
    problem: Problem,
    features: Float[Array, "n d"],
    attributes: Mapping[str, Float[Array, "c a"]],
    setting: Setting,
    count: int,
    vae: CADAVAEConfig,
    config: ClassifierConfig,
) -> Run:
    """One seed's fresh classifier of `count` classes, and its latents: samples to learn from, means to be tested on."""
    key = jax.random.fold_in(jax.random.fold_in(key, CLASSIFIER), 2 * setting.shots + setting.generalised)
    image_key, side_key, init_key = jax.random.split(key, 3)
    mu, logvar = _encode(params, features, vae, IMAGE)
    z = [draw(mu[problem.images], logvar[problem.images], image_key, vae)]
    # Several kinds of attributes take turns, so that each gives its share of a class's latents.
    turn = jnp.arange(len(problem.classes)) % len(attributes)
    codes = [_encode(params, table, vae, name) for name, table in attributes.items()]
    mus, logvars = (jnp.stack(part)[turn, problem.classes] for part in zip(*codes, strict=True))
    z.append(draw(mus, logvars, side_key, vae))
    state = init_classifier(init_key, vae.latent_dim, count, config)
    return Run(state, jnp.concatenate(z), jnp.asarray(problem.labels), mu[problem.seen], mu[problem.unseen])


def _one_pass(run: Run, config: ClassifierConfig, wrap: bool) -> tuple[Run, tuple[Array, Array]]:
    """One pass, and the predictions on the test latents after it."""
    state = classifier_pass(run.state, run.z, run.labels, config, wrap)
    return run._replace(state=state), (predict(state, run.seen), predict(state, run.unseen))


class _Score:
    """Predictions of all seeds to S, U and what is reported of them."""

    def __init__(
        self, data: ZeroShotData, setting: Setting, problem: Problem, classes: Int[np.ndarray, " K"]
    ):
        def local(labels: np.ndarray) -> np.ndarray:
            return np.searchsorted(classes, labels).astype(np.int32)

        self._generalised, self._classes = setting.generalised, np.arange(len(classes), dtype=np.int32)
        self._seen_classes, self._unseen_classes = local(data.seen), local(data.unseen)
        self._seen, self._unseen = (local(data.labels[rows]) for rows in (problem.seen, problem.unseen))

    def __call__(self, predictions: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "3 seeds"]:
        """Accuracy on seen classes, on unseen ones, and the score: their harmonic mean, or the latter alone."""
        accuracy = jax.vmap(per_class_accuracy, in_axes=(0, 0, None))
        unseen = accuracy(predictions[1], self._unseen, self._unseen_classes)
        if not self._generalised:
            return np.stack([np.full(len(unseen), np.nan), unseen, unseen])
        seen = accuracy(predictions[0], self._seen, self._seen_classes)
        return np.stack([seen, unseen, harmonic_mean(seen, unseen)])

    def confusion(self, predictions: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "K K"]:
        """Of all seeds together, rows normalised."""
        found, truth = np.concatenate(predictions, axis=1), np.concatenate([self._seen, self._unseen], axis=1)
        return np.asarray(confusion_matrix(found.reshape(-1), truth.reshape(-1), self._classes))
