"""Early stopping and the choice of the best state, seed by seed."""

from dataclasses import asdict, dataclass

import numpy as np


@dataclass
class EarlyStopping:
    """The best validation loss of each seed, and how many evaluations ago it was.

    As in the official package: a loss is better only if it is strictly below the best so far, and a seed is done
    when `patience` evaluations in a row brought no better one. A run of several seeds ends when all are done;
    each keeps its own best state.
    """

    best: list[float]
    best_step: list[int]
    waited: list[int]

    @classmethod
    def start(cls, seeds: int) -> "EarlyStopping":
        """Before the first evaluation."""
        return cls([float("inf")] * seeds, [-1] * seeds, [0] * seeds)

    def observe(self, step: int, losses: np.ndarray) -> np.ndarray:
        """Takes the validation losses [seeds] of a step; returns which seeds improved [seeds] bool."""
        improved = np.asarray(losses) < np.asarray(self.best)
        for seed, better in enumerate(improved):
            self.waited[seed] = 0 if better else self.waited[seed] + 1
            if better:
                self.best[seed], self.best_step[seed] = float(losses[seed]), step
        return improved

    def done(self, patience: int) -> bool:
        """Whether every seed has waited `patience` evaluations (never, for patience 0)."""
        return patience > 0 and all(waited >= patience for waited in self.waited)

    def to_json(self) -> dict:
        """For a checkpoint; infinity, which JSON lacks, as null."""
        return asdict(self) | {"best": [None if b == float("inf") else b for b in self.best]}

    @classmethod
    def from_json(cls, content: dict) -> "EarlyStopping":
        """The inverse of `to_json`."""
        best = [float("inf") if b is None else b for b in content["best"]]
        return cls(best, list(content["best_step"]), list(content["waited"]))
