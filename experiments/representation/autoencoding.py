"""Data, evaluation, pictures and report of autoencoder experiments on images with known factors."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree, UInt8

from experiments import cli
from experiments.representation.report import write_everything
from train import devices
from train.config import TrainConfig
from train.data.files import DEFAULT_CACHE, open_shapes3d
from train.data.source import Source
from train.data.split import Split, split_indices
from train.errors import UserError
from train.metrics.baselines import fit_linear_codes
from train.metrics.disentanglement import Scores, score_codes
from train.metrics.image import psnr
from train.metrics.regressors import Regressor
from train.run_directory import RunDirectory, write_json
from train.seeds import unstack
from train.steps.autoencoder import Autoencoder
from train.stored_state import Which
from train.task import Task

BATCH = 256
"""Images per call of a network in evaluation."""
FEWEST_IMAGES = 1000
"""Of a data set; latents can't outnumber the images that the linear baseline is fitted to."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is fed."""

    source: Literal["procedural", "tfds", "h5", "npz"] = "procedural"
    """Rendered on the device; a prepared TFDS `shapes3d`; the original 3dshapes.h5; an npz with `images`."""
    path: Path | None = None
    """The file, or the TFDS data folder."""
    cache_dir: Path = DEFAULT_CACHE
    """Where data too large for memory are kept as memory maps after the first reading."""
    train_size: int = 0
    """Images of the training split that are used (0: all)."""
    validation_size: int = 1024
    """Images of the validation split that are used; cut to whole batches."""
    device_gb: float = 8.0
    """Data up to this size live on the device; larger ones are read from the host for each dispatch."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How good the model is, measured on the test split."""

    checkpoint: Which = "last"
    """Which state is measured: the last one, or that of the best validation loss."""
    regressor: Regressor = "gradient-boosting"
    """DCI's regressor; numbers of different regressors can't be compared."""
    train_codes: int = 10_000
    """Codes that the scores' classifiers are fitted to."""
    test_codes: int = 5_000
    """Codes that they are tested on."""
    votes: int = 10_000
    """Votes that the FactorVAE and beta-VAE scores are fitted to, and half as many to test (0: skip both)."""
    group: int = 64
    """Images per vote."""
    images: int = 2048
    """Images for reconstruction errors and pictures."""
    baselines: bool = True
    """Also score a linear and a random encoder, without which a number can't be read."""


@dataclass(frozen=True)
class Trained:
    """A trained model of some seeds, and what to call it."""

    title: str
    model: str
    autoencoder: Autoencoder
    task: Task
    state: PyTree
    keys: jax.Array
    first_seed: int
    gromov_wasserstein: bool
    settings: Mapping[str, Any]
    reference: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Updates behind the state; of several best states, those of the latest."""
        return int(np.max(devices.on_one_device(self.state).step))


def check(data: DataConfig, evaluate: EvaluateConfig, train: TrainConfig) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check_least(
        [
            ("--data.train-size", data.train_size, 0),
            ("--data.validation-size", data.validation_size, train.batch_size),
            ("--evaluate.train-codes", evaluate.train_codes, 50),
            ("--evaluate.test-codes", evaluate.test_codes, 50),
            ("--evaluate.votes", evaluate.votes, 0),
            ("--evaluate.group", evaluate.group, 2),
            ("--evaluate.images", evaluate.images, 64),
        ]
    )
    if not 0 <= data.device_gb < float("inf"):
        raise UserError("--data.device-gb", data.device_gb, "is no size", "give a number of GB, e.g. 8")
    if evaluate.regressor.startswith("xgboost"):
        cli.require("xgboost", "--evaluate.regressor", evaluate.regressor, "xgboost")
    if evaluate.checkpoint == "best" and not train.evaluate_every:
        remedy = "give last, or a --train.evaluate-every above 0"
        raise UserError("--evaluate.checkpoint", "best", "needs evaluations", remedy)


def open_data(config: DataConfig, evaluate: EvaluateConfig) -> tuple[Source, Split]:
    """The source and its fixed split.

    Raises:
      UserError: the source can't be opened, or is too small to be split or for the evaluation.
    """
    source = open_shapes3d(config.source, config.path, config.cache_dir)
    if len(source) < FEWEST_IMAGES:
        raise UserError(
            "--data.path", config.path, f"holds {len(source)} images", f"give at least {FEWEST_IMAGES}"
        )
    split = split_indices(len(source))
    codes = evaluate.train_codes + evaluate.test_codes
    if source.factor_names and codes > len(split.test):
        raise UserError(
            "--evaluate.train-codes",
            evaluate.train_codes,
            f"with {evaluate.test_codes} test codes exceeds the test split of {len(split.test)} images",
            "give less of both",
        )
    if "factors" in source.arrays:
        factors = source[split.test[: evaluate.train_codes]]["factors"]
        for name, values in zip(source.factor_names, factors.T, strict=True):
            if np.ptp(values) == 0:
                remedy = "remove that column, or give more --evaluate.train-codes"
                raise UserError("--data.path", config.path, f"{name} has one value in the test split", remedy)
    return source, split


def validation_batches(
    source: Source, split: Split, config: DataConfig, batch_size: int, mesh: Mesh
) -> dict[str, UInt8[Array, "k b h w c"]]:
    """Whole batches of the validation split, on every device."""
    count = min(config.validation_size, len(split.validation)) // batch_size
    if count == 0:
        raise UserError(
            "--train.batch-size", batch_size, "exceeds the validation split", "give a smaller one"
        )
    images = source[split.validation[: count * batch_size]]["image"]
    batches = images.reshape(count, batch_size, *images.shape[1:])
    return {"image": jax.device_put(batches, devices.replicated(mesh))}


def evaluate_and_report(
    run: RunDirectory, trained: Trained, source: Source, split: Split, config: EvaluateConfig
) -> None:
    """Measures on the test split, draws, and writes results.json, figures and report.html; first process only."""
    if jax.process_index() != 0:
        return
    began = time.monotonic()
    cli.say(f"evaluating at step {trained.step} ...")
    seeds = [devices.on_one_device(unstack(trained.state, i)) for i in range(len(trained.keys))]
    views = [View(trained.autoencoder, state) for state in seeds]
    fresh = [jax.jit(trained.task.init)(key) for key in devices.on_one_device(trained.keys)]
    images = source[split.test[: config.images]]["image"]

    quality = reconstruction_quality(views, images, source, split, config)
    terms = held_out_terms(trained, seeds, fresh, images)
    scores = all_scores(trained, views, fresh, source, split, config)
    results = {
        "step": trained.step,
        "seeds": [trained.first_seed + i for i in range(len(views))],
        "regressor": config.regressor,
        "reconstruction": quality,
        "held_out_terms": terms,
        "scores": {name: [dict(s.values) for s in per_seed] for name, per_seed in scores.items()},
    }
    write_json(run.path / "results.json", results)
    write_everything(run, trained, views[0], source, split, images, results, scores, config)
    cli.say(f"evaluated in {time.monotonic() - began:.0f} s; report: {run.report}")


@dataclass(frozen=True)
class View:
    """One seed's networks on host arrays of any length, in calls of one size."""

    autoencoder: Autoencoder
    state: PyTree

    def encode(self, images: UInt8[np.ndarray, "n h w c"]) -> tuple[np.ndarray, np.ndarray]:
        """(mu, logvar), each [n, l]."""
        return _in_batches(partial(_encode, self.autoencoder.encode, self.state), images)

    def means(self, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n l"]:
        """Posterior means."""
        return self.encode(images)[0]

    def decode(self, z: Float[np.ndarray, "n l"]) -> Float[np.ndarray, "n h w c"]:
        """Pixels in (0, 1)."""
        return _in_batches(partial(_decode, self.autoencoder.decode, self.state), np.asarray(z, np.float32))

    def sample(self, count: int, seed: int = 0) -> Float[np.ndarray, "n l"]:
        """Codes from the prior."""
        key = jax.random.key(seed)
        return np.asarray(jax.jit(self.autoencoder.sample, static_argnums=2)(self.state, key, count))


@partial(jax.jit, static_argnums=0)
def _encode(encode: Callable, state: PyTree, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return encode(state, images)


@partial(jax.jit, static_argnums=0)
def _decode(decode: Callable, state: PyTree, z: jax.Array) -> jax.Array:
    return decode(state, z)


def _in_batches(fn: Callable, array: np.ndarray) -> Any:
    """fn over the rows of an array, in calls of BATCH rows, the last one filled up and cut again."""
    if len(array) == 0:
        raise ValueError("no rows to compute on")
    parts = []
    for i in range(0, len(array), BATCH):
        rows = array[i : i + BATCH]
        padded = np.concatenate([rows, np.repeat(rows[-1:], BATCH - len(rows), axis=0)])
        parts.append(jax.tree.map(partial(_first, len(rows)), fn(padded)))
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def _first(count: int, array: jax.Array) -> np.ndarray:
    return np.asarray(array)[:count]


def reconstruction_quality(
    views: list[View],
    images: UInt8[np.ndarray, "n h w c"],
    source: Source,
    split: Split,
    config: EvaluateConfig,
) -> dict[str, list[float]]:
    """Per seed, the mean over test images of the PSNR (dB) and MSE of their reconstructions; and of the mean image."""
    x = images.astype(np.float32) / 255
    out: dict[str, list[float]] = {"psnr": [], "psnr_sampled": [], "mse": []}
    for view in views:
        mu, logvar = view.encode(images)
        noise = np.random.default_rng(0).standard_normal(mu.shape)
        sampled = mu + np.exp(logvar / 2) * noise
        reconstruction = view.decode(mu)
        out["psnr"].append(_mean_psnr(reconstruction, x))
        out["psnr_sampled"].append(_mean_psnr(view.decode(sampled), x))
        out["mse"].append(float(np.mean((reconstruction - x) ** 2)))
    train_images = source[split.train[: max(config.images, FEWEST_IMAGES)]]["image"]
    linear = fit_linear_codes(train_images, views[0].means(images[:1]).shape[1])
    mean_image = (train_images.astype(np.float32) / 255).mean(0)
    out["psnr_mean_image"] = [_mean_psnr(np.broadcast_to(mean_image, x.shape), x)]
    decoded = np.clip(linear.decode(linear.encode(images)), 0, 255).astype(np.float32) / 255
    out["psnr_linear"] = [_mean_psnr(decoded, x)]
    return out


def _mean_psnr(images: np.ndarray, targets: np.ndarray) -> float:
    return float(psnr(jnp.asarray(images), jnp.asarray(targets)).mean())


def held_out_terms(
    trained: Trained, seeds: list[PyTree], fresh: list[PyTree], images: UInt8[np.ndarray, "n h w c"]
) -> dict[str, dict[str, list[float]]]:
    """Every term of the loss in eval mode on test images, before and after training: term -> {start, end} -> seeds."""
    batches = images[: len(images) // 64 * 64].reshape(-1, 64, *images.shape[1:])[:8]
    assert trained.task.eval_step is not None
    eval_step = jax.jit(trained.task.eval_step)
    out: dict[str, dict[str, list[float]]] = {}
    for when, states in (("start", fresh), ("end", seeds)):
        for state in states:
            per_batch = [eval_step(state, {"image": b}, jax.random.key(i)) for i, b in enumerate(batches)]
            for name in per_batch[0]:
                value = float(np.mean([metrics[name] for metrics in per_batch]))
                out.setdefault(name, {"start": [], "end": []})[when].append(value)
    return out


def all_scores(
    trained: Trained,
    views: list[View],
    fresh: list[PyTree],
    source: Source,
    split: Split,
    config: EvaluateConfig,
) -> dict[str, list[Scores]]:
    """Scores per seed of the model, and of the baselines; empty where the data have no factors."""
    if len(source.factor_names) < 2:
        cli.say("the data have no factors: no disentanglement scores")
        return {}
    batch = source[split.test[: config.train_codes + config.test_codes]]
    score = partial(_score, batch["image"], batch["factors"], source, config)
    encoders: dict[str, list[Callable]] = {trained.model: [view.means for view in views]}
    if config.baselines:
        encoders["random encoder"] = [View(trained.autoencoder, state).means for state in fresh]
        linear = fit_linear_codes(
            source[split.train[:4096]]["image"], views[0].means(batch["image"][:1]).shape[1]
        )
        encoders["linear (PCA)"] = [linear.encode]
    out = {}
    for name, functions in encoders.items():
        began = time.monotonic()
        out[name] = [score(encode) for encode in functions]
        cli.say(f"  scored {name}: {time.monotonic() - began:.0f} s")
    return out


def can_draw_by_factor(source: Source) -> bool:
    """Whether the source holds every combination of factors, as the FactorVAE and beta-VAE scores need."""
    try:
        source.index_with_factors(np.zeros((1, len(source.factor_sizes)), np.int32))
    except UserError:
        return False
    return True


def _score(
    images: UInt8[np.ndarray, "n h w c"],
    factors: Int[np.ndarray, "n f"],
    source: Source,
    config: EvaluateConfig,
    encode: Callable[[np.ndarray], np.ndarray],
) -> Scores:
    codes = encode(images)
    cut = config.train_codes

    def represent(factors: Int[np.ndarray, "n f"]) -> Float[np.ndarray, "n l"]:
        return encode(source[source.index_with_factors(factors)]["image"])

    return score_codes(
        codes[:cut],
        factors[:cut],
        codes[cut:],
        factors[cut:],
        regressor=config.regressor,
        represent=represent if config.votes and can_draw_by_factor(source) else None,
        factor_sizes=source.factor_sizes,
        train_votes=config.votes,
        test_votes=config.votes // 2,
        batch_size=config.group,
        variance_points=min(10_000, 10 * config.votes),
    )
