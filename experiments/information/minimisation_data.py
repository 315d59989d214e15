"""The digits of `mi_minimisation`."""

from dataclasses import dataclass
from pathlib import Path

from experiments.run_report import of_file
from train.data import digits, domains
from train.data.digits import Digits
from train.errors import UserError
from train.steps.domain_adaptation import AdaptationConfig
from train.steps.information_bottleneck import BottleneckConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The digits."""

    source: digits.Source = "sklearn"
    """1,797 digits of scikit-learn, or MNIST: an npz file, or TFDS."""
    path: Path | None = None
    """The npz file; for tfds the data folder, if it is not the default one."""
    domain: domains.Domain = "coloured"
    """How digits of the target domain are changed."""


def open_data(config: DataConfig, bottleneck: BottleneckConfig, adaptation: AdaptationConfig) -> Digits:
    """The digits that these trainings learn from and are tested on.

    Raises:
      UserError: they can't be read, or are too few or too small for the batches and networks.
    """
    data = digits.open_digits(config.source, config.path)
    size, side = len(data.train), min(data.train.image.shape[1:])
    for flag, value, most in (
        ("--bottleneck.batch-size", bottleneck.batch_size, size),
        ("--adaptation.batch-size", adaptation.batch_size, size // 2),
    ):
        if value > most:
            raise UserError(flag, value, f"is more than the {most} images there are", "give a smaller one")
    if side < 2 ** (len(adaptation.channels) - 1):
        problem = f"halves images of {side} pixels a side {len(adaptation.channels) - 1} times"
        raise UserError("--adaptation.channels", adaptation.channels, problem, "give fewer blocks")
    return data


def in_words(config: DataConfig) -> str:
    """What the digits are, for titles and captions."""
    known = {"sklearn": "scikit-learn's digits", "tfds": "MNIST"}
    return known.get(config.source) or of_file("the digits", config.path)
