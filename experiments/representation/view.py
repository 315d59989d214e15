"""A trained autoencoder in use, on host arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from experiments.experiment import experiment_of
from experiments.representation.autoencoding import ImageSystem, Learned
from train.errors import UserError
from train.run_directory import open_run
from train.steps.autoencoder import Autoencoder
from train.stored_state import Which

BATCH = 256
"""Images per call of a network in evaluation."""


def open_model(path: Path, which: Which) -> Learned:
    """The autoencoder of images that a run trained, from its `last` or its `best` checkpoint.

    Raises:
      UserError: there is no such run, or it trained something else, or it has no good checkpoint.
    """
    run = open_run(path, "RUN_DIR")
    experiment = experiment_of(run)
    systems = {} if experiment.systems is None else experiment.systems(experiment.saved(run), run)
    for system in systems.values():
        if isinstance(system, ImageSystem):
            return Learned(system.learner, system.load(run, which), system.keys, system.config.seed)
    remedy = "give a run of an autoencoder, e.g. of gwae_3dshapes"
    raise UserError("RUN_DIR", path, f"is a run of {run.experiment}, which has no images", remedy)


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
