"""Settings of training that every experiment shares."""

from dataclasses import dataclass
from typing import Annotated

from train.bounds import AtLeast, Within
from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long training lasts, in what pieces, and what is kept."""

    steps: Annotated[int, AtLeast(0)] = 100_000
    """Total number of updates."""
    batch_size: Annotated[int, AtLeast(0)] = 64
    """Examples per update, over all devices."""
    inner_steps: Annotated[int, AtLeast(1)] = 10
    """Updates per dispatch of the compiled program; metrics reach the host once per dispatch."""
    log_every: Annotated[int, AtLeast(1)] = 10
    """Updates between two lines of metrics.jsonl."""
    evaluate_every: Annotated[int, AtLeast(0)] = 1000
    """Updates between two evaluations on the validation split (0: never)."""
    patience: Annotated[int, AtLeast(0)] = 0
    """Stop when this many evaluations in a row brought no better validation loss (0: fixed number of steps)."""
    checkpoint_every: Annotated[int, AtLeast(1)] = 1000
    """Updates between two checkpoints."""
    ema_decay: Annotated[float, Within(0, 1, "[)")] = 0.0
    """Decay per update of an exponential moving average of the parameters, used for evaluation (0: none)."""


RESUMABLE = (
    "train.steps",
    "train.inner_steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.patience",
)
"""Settings of `TrainConfig` that may change when a run is resumed."""


def check(config: TrainConfig, devices: int = 1, least_batch: int = 2) -> None:
    """Raises UserError for settings within their bounds that nothing can be trained with.

    Args:
      config: the settings.
      devices: over which a batch is divided.
      least_batch: the smallest batch that the losses are defined on; 2 where they compare examples.
    """
    for flag, value, least in (
        ("--train.steps", config.steps, 1),
        ("--train.batch-size", config.batch_size, least_batch),
    ):
        if value < least:
            raise UserError(flag, value, f"must be at least {least}", f"give {least} or more")
    if config.patience and not config.evaluate_every:
        raise UserError(
            "--train.patience", config.patience, "needs evaluations", "set --train.evaluate-every above 0"
        )
    if config.batch_size % devices:
        raise UserError(
            "--train.batch-size",
            config.batch_size,
            f"does not divide over {devices} devices",
            f"give a multiple of {devices}",
        )
