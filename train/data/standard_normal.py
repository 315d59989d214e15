"""Noise as data: for systems whose own parameters make pairs of it."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float, Int

from train.devices import across_devices


@dataclass(frozen=True)
class StandardNormal:
    """A feed (see `train.feed.Feed`) of fresh standard normal arrays each step.

    Attributes:
      shape: of a batch; its first axis is divided over the devices.
    """

    shape: tuple[int, ...]
    per_seed: bool = False

    def chunk(self, step: int, count: int) -> tuple[()]:
        """Nothing: a batch is a function of the seed and the step."""
        return ()

    def batch(
        self, chunk: tuple[()], order_key: jax.Array, step: Int[Array, ""], offset: Int[Array, ""]
    ) -> Float[Array, "..."]:
        """The noise of a step."""
        return across_devices(jax.random.normal(jax.random.fold_in(order_key, step), self.shape))
