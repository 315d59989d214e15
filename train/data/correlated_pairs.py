"""Pairs of known mutual information: correlated Gaussians, and their cubes (Poole et al. 2019; Cheng et al. 2020)."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from train.devices import across_devices

Toy = Literal["gaussian", "cubic"]
"""`gaussian`: y = rho x + sqrt(1 - rho^2) e per dimension, x and e standard normal. `cubic`: y^3 in place of y,
which changes no mutual information."""


def correlation(mutual_information: Float[np.ndarray, "*n"], dim: int) -> Float[np.ndarray, "*n"]:
    """rho at which `dim` independent pairs have this mutual information in nats, -dim/2 log(1 - rho^2)."""
    return np.sqrt(-np.expm1(-2 * np.asarray(mutual_information, np.float64) / dim))


def analytic_club(mutual_information: Float[np.ndarray, "*n"], dim: int) -> Float[np.ndarray, "*n"]:
    """CLUB with the true conditional of the Gaussian pairs: dim rho^2 / (1 - rho^2), in nats."""
    rho = correlation(mutual_information, dim)
    return dim * rho**2 / (1 - rho**2)


def draw_pairs(
    key: jax.Array, size: int, dim: int, rho: Float[Array, ""] | float, cubic: Array | bool = False
) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
    """x and y of `size` pairs."""
    x, noise = jax.random.normal(key, (2, size, dim))
    y = rho * x + jnp.sqrt(1 - rho**2) * noise
    return x, jnp.where(cubic, y**3, y)


@dataclass(frozen=True)
class CorrelatedPairs:
    """A feed (see `train.feed.Feed`) of fresh pairs each step, whose mutual information climbs a staircase.

    The schedule and the toy are arrays of the chunk, not constants of the program: both toys share one.

    Attributes:
      levels: mutual information in nats, one after the other.
      steps_per_level: how long each stays; the last stays forever.
      batch_size: pairs of a step.
      dim: of x and of y.
      toy: which.
    """

    levels: tuple[float, ...]
    steps_per_level: int
    batch_size: int
    dim: int
    toy: Toy = "gaussian"
    per_seed: bool = False

    def chunk(self, step: int, count: int) -> dict[str, Array]:
        """The staircase, whatever the step."""
        levels = np.asarray(self.levels)
        return {
            "mutual_information": jnp.asarray(levels, jnp.float32),
            "rho": jnp.asarray(correlation(levels, self.dim), jnp.float32),
            "cubic": jnp.asarray(self.toy == "cubic"),
            "steps_per_level": jnp.asarray(self.steps_per_level, jnp.int32),
        }

    def batch(
        self, chunk: dict[str, Array], order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> dict[str, Array]:
        """x and y [k, d] of a step, and the scalars rho and mutual_information that they were drawn with."""
        level = jnp.minimum(step // chunk["steps_per_level"], len(self.levels) - 1)
        rho = chunk["rho"][level]
        key = jax.random.fold_in(order_key, step)
        x, y = draw_pairs(key, self.batch_size, self.dim, rho, chunk["cubic"])
        pairs = across_devices({"x": x, "y": y})
        return {**pairs, "rho": rho, "mutual_information": chunk["mutual_information"][level]}
