"""Training that became infinite or NaN: where, and why, where that is known."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from train.run_directory import RunDirectory

LARGEST_INPUT = 1e6
"""Networks and losses square what they are given more than once, and float32 ends at 3e38."""


class NonFiniteError(Exception):
    """A loss or a gradient became infinite or NaN.

    Args:
      step: the update.
      term: what was not finite.
      seed: number of the seed.
      checkpoints: the steps that are kept.
      run: the run.
      cause: what is known of the reason, a sentence; where empty, the usual one.
    """

    def __init__(
        self, step: int, term: str, seed: int, checkpoints: list[int], run: RunDirectory, cause: str = ""
    ):
        kept = (
            f"the checkpoint of step {checkpoints[-1]} is intact"
            if checkpoints
            else "no checkpoint was due yet"
        )
        usual = "Start a new run with a smaller --model.learning-rate, or in float32 where it was not."
        super().__init__(
            f"{term} of seed {seed} is not finite at step {step}; {kept} in {run.checkpoints}. {cause or usual}"
        )
        self.step, self.term = step, term


def cause_in(batch: PyTree) -> str:
    """What in the training data explains it, a sentence; empty where nothing does."""
    leaves = [leaf.addressable_data(0) for leaf in jax.tree.leaves(batch) if isinstance(leaf, jax.Array)]
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size]
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in floats):
        return (
            "The training data hold NaN or infinity: mend or leave out those examples, and start a new run."
        )
    largest = max((float(jnp.abs(leaf).max()) for leaf in floats), default=0.0)
    if largest <= LARGEST_INPUT:
        return ""
    return (
        f"The training data reach {largest:.1g}, whose squares and sums overflow: scale them to about 1, "
        "and start a new run."
    )
