"""DAGAN: SPADE with a spatial and a channel attention in front of the last layer.

Paper: Tang, Bai and Sebe, "Dual Attention GANs for Semantic Image Synthesis", ACM MM 2020. Everything but the
generator's last layers is GauGAN, and so are the flags; `--data.preset` also knows dagan-facades, celeba and
deepfashion. `--model.attention-scales 3` is the paper's figure, in which the channel attention sees several scales:
the official code, the default, has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import cli, gaugan
from experiments.entry import Entry
from experiments.stored_models import Stored
from experiments.synthesis import layout_synthesis
from experiments.synthesis.layout_synthesis import Experiment, SynthesisConfig
from train.run_directory import RunDirectory

NAME = "dagan"
ABOUT = cli.About(
    name=NAME,
    paper="DAGAN: dual attention for semantic image synthesis (ACM MM 2020)",
    data="3D Shapes layouts, rendered; or folders, packed npz",
    time="quick: 6 min on 2 CPU cores",
)


@dataclass(frozen=True, kw_only=True)
class Config(SynthesisConfig):
    """DAGAN on semantic layouts."""


def _with_attention(preset: gaugan.Config) -> Config:
    return Config(**{**vars(preset), "model": replace(preset.model, generator="dagan")})


PRESETS: dict[str, Config] = {name: _with_attention(preset) for name, preset in gaugan.PRESETS.items()}


def experiment() -> Experiment:
    """What this experiment is to the ones on layouts."""
    return Experiment(NAME, "DAGAN", __doc__ or "", Config, PRESETS)


def main(argv: Sequence[str]) -> None:
    """config -> layouts -> generator and discriminator -> measures -> report."""
    layout_synthesis.run_experiment(experiment(), argv)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, with other settings of evaluation."""
    layout_synthesis.evaluate_run(experiment(), run, config)


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run, whatever the data."""
    layout_synthesis.check_settings(config)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The networks of a run, for `experiments.weights`."""
    return layout_synthesis.stored_models(experiment(), run)


ENTRY = Entry(
    about=ABOUT,
    config=Config,
    check=check,
    evaluate=evaluate,
    stored_models=stored_models,
)

if __name__ == "__main__":
    cli.main(main)
