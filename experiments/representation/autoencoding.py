"""Settings and data of autoencoder experiments on images with known factors, and what they train."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, PyTree, UInt8

from experiments import cli
from experiments.experiment import System
from experiments.run_report import of_file
from train import devices
from train.bounds import AtLeast
from train.config import TrainConfig
from train.data.files import DEFAULT_CACHE, open_shapes3d
from train.data.split import Split, split_indices
from train.errors import UserError
from train.feed import Feed, make_feed
from train.metrics.regressors import Regressor
from train.source import Source
from train.steps.autoencoder import Autoencoder, AutoencoderState
from train.stored_state import Which
from train.task import Task, TrainState
from train.update import Metrics

FEWEST_IMAGES = 1000
"""Of a data set; latents can't outnumber the images that the linear baseline is fitted to."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data to train and test on."""

    source: Literal["procedural", "tfds", "h5", "npz"] = "procedural"
    """Rendered on the device; a prepared TFDS `shapes3d`; the original 3dshapes.h5; an npz with `images`."""
    path: Path | None = None
    """The file, or the TFDS data folder."""
    cache_dir: Path = DEFAULT_CACHE
    """Where data too large for memory are kept as memory maps after the first reading."""
    train_size: Annotated[int, AtLeast(0)] = 0
    """Images of the training split that are used (0: all)."""
    validation_size: Annotated[int, AtLeast(1)] = 1024
    """Images of the validation split that are used; cut to whole batches."""
    device_gb: Annotated[float, AtLeast(0)] = 8.0
    """Data up to this size live on the device; larger ones are read from the host for each dispatch."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How good the model is, measured on the test split."""

    checkpoint: Which = "last"
    """Which state is measured: the last one, or that of the best validation loss."""
    regressor: Regressor = "gradient-boosting"
    """DCI's regressor; numbers of different regressors can't be compared."""
    train_codes: Annotated[int, AtLeast(50)] = 10_000
    """Codes that the scores' classifiers are fitted to."""
    test_codes: Annotated[int, AtLeast(50)] = 5_000
    """Codes that they are tested on."""
    votes: Annotated[int, AtLeast(0)] = 10_000
    """Votes that the FactorVAE and beta-VAE scores are fitted to, and half as many to test (0: skip both)."""
    group: Annotated[int, AtLeast(2)] = 64
    """Images per vote."""
    images: Annotated[int, AtLeast(64)] = 2048
    """Images for reconstruction errors and pictures."""
    baselines: bool = True
    """Also score a linear and a random encoder, without which a number can't be read."""


class FamilyState(TrainState, AutoencoderState, Protocol):
    """What training and use need of a state."""


State = TypeVar("State", bound=FamilyState)


@dataclass(frozen=True)
class Learner(Generic[State]):
    """A member of the family with its settings: what is trained, and its networks for use after training."""

    name: str
    init: Callable[[jax.Array], State]
    train_step: Callable[[State, PyTree], tuple[State, Metrics]]
    eval_step: Callable[[State, PyTree, jax.Array], Metrics]
    autoencoder: Autoencoder
    gromov_wasserstein: bool

    @property
    def task(self) -> Task[State]:
        """What `fit` trains."""
        return Task(self.init, self.train_step, self.autoencoder.use, self.eval_step)


@dataclass(frozen=True, kw_only=True)
class ImageSystem(System[Any]):
    """The autoencoder of a run, for `encode` and `sample` too."""

    learner: Learner[Any]


@dataclass(frozen=True)
class Learned:
    """A member of the family with the stacked state of its seeds."""

    learner: Learner[Any]
    state: PyTree
    keys: jax.Array
    first_seed: int

    @property
    def step(self) -> int:
        """Updates that made the state; of several best states, the latest one."""
        return int(np.max(devices.on_one_device(self.state).step))


def check(data: DataConfig, evaluate: EvaluateConfig, train: TrainConfig) -> None:
    """Raises UserError for settings that don't fit together, or need what is not installed."""
    if data.validation_size < train.batch_size:
        problem = f"must be at least a batch of {train.batch_size}"
        raise UserError("--data.validation-size", data.validation_size, problem, "give e.g. 1024")
    if evaluate.regressor.startswith("xgboost"):
        cli.require("xgboost", "--evaluate.regressor", evaluate.regressor, "xgboost")
    if evaluate.checkpoint == "best" and not train.evaluate_every:
        remedy = "give last, or a --train.evaluate-every above 0"
        raise UserError("--evaluate.checkpoint", "best", "needs evaluations", remedy)


def in_words(config: DataConfig) -> str:
    """What the data are, for titles."""
    if config.source == "npz":
        return of_file("images", config.path)
    return "rendered 3D Shapes" if config.source == "procedural" else "3D Shapes"


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


def training_feed(
    source: Source, split: Split, data: DataConfig, train: TrainConfig, keys: jax.Array
) -> Callable[[Mesh], Feed]:
    """Makes the training batches, from the device where the data are small enough."""
    rows, budget = split.train[: data.train_size or None], int(data.device_gb * 1e9)
    return lambda mesh: make_feed(source, rows, train.batch_size, keys, mesh, train.inner_steps, budget)


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
