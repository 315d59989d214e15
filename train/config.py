"""Settings of training that every experiment shares."""

import typing
from dataclasses import dataclass
from typing import Any, Literal

from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long training lasts, in what pieces, and what is kept."""

    steps: int = 100_000
    """Total number of updates."""
    batch_size: int = 64
    """Examples per update, over all devices."""
    inner_steps: int = 10
    """Updates per dispatch of the compiled program; metrics reach the host once per dispatch."""
    log_every: int = 10
    """Updates between two lines of metrics.jsonl."""
    evaluate_every: int = 1000
    """Updates between two evaluations on the validation split (0: never)."""
    patience: int = 0
    """Stop when this many evaluations in a row brought no better validation loss (0: fixed number of steps)."""
    checkpoint_every: int = 1000
    """Updates between two checkpoints."""
    ema_decay: float = 0.0
    """Decay per update of an exponential moving average of the parameters, used for evaluation (0: none)."""


RESUMABLE = (
    "train.steps",
    "train.inner_steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.patience",
)
"""Settings of `TrainConfig` that may change when a run is resumed."""


def check(config: TrainConfig, devices: int, least_batch: int = 2) -> None:
    """Raises UserError for settings that can't be trained with.

    Args:
      config: the settings.
      devices: over which a batch is divided.
      least_batch: the smallest batch that the losses are defined on; 2 where they compare examples.
    """
    for name, least in (
        ("steps", 1),
        ("batch_size", least_batch),
        ("inner_steps", 1),
        ("log_every", 1),
        ("checkpoint_every", 1),
    ):
        value = getattr(config, name)
        if value < least:
            raise UserError(_flag(name), value, "is too small", f"give at least {least}")
    for name in ("evaluate_every", "patience"):
        if getattr(config, name) < 0:
            raise UserError(_flag(name), getattr(config, name), "is negative", "give 0 to switch it off")
    if not 0 <= config.ema_decay < 1:
        raise UserError(
            "--train.ema-decay", config.ema_decay, "is not in [0, 1)", "give 0 for none, or e.g. 0.999"
        )
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


def check_choices(config: Any, flag: str = "--model") -> None:
    """Raises UserError for a setting of a dataclass that is not one of the values its `Literal` names.

    The command line and saved runs are held to their types; settings that a program makes are not.

    Args:
      config: any dataclass; of a tuple of choices each is looked at.
      flag: what its settings begin with.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        given, several = getattr(config, name), typing.get_origin(hint) is tuple
        choice = typing.get_args(hint)[0] if several else hint
        if typing.get_origin(choice) is not Literal:
            continue
        known = typing.get_args(choice)
        for value in given if several and isinstance(given, tuple | list) else (given,):
            if value not in known:
                remedy = (
                    f"choose {', '.join(map(str, known[:-1]))} or {known[-1]}" if known[1:] else str(known[0])
                )
                raise UserError(f"{flag}.{name.replace('_', '-')}", value, "is unknown", remedy)


def _flag(name: str) -> str:
    return f"--train.{name.replace('_', '-')}"
