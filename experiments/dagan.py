"""DAGAN: SPADE with a spatial and a channel attention in front of the last layer.

Paper: Tang, Bai and Sebe, "Dual Attention GANs for Semantic Image Synthesis", ACM MM 2020. Everything but the
generator's last layers is GauGAN, and so are the flags; `--data.preset` also knows dagan-facades, celeba and
deepfashion. `--model.attention-scales 3` is the paper's figure, in which the channel attention sees several scales:
the official code, the default, has one.
"""

from dataclasses import dataclass, replace

from experiments import cli, gaugan
from experiments.experiment import About
from experiments.session import command_of
from experiments.synthesis.layout_synthesis import SynthesisConfig, layout_experiment


@dataclass(frozen=True, kw_only=True)
class Config(SynthesisConfig):
    """DAGAN on semantic layouts."""


def _with_attention(preset: gaugan.Config) -> Config:
    return Config(**{**vars(preset), "model": replace(preset.model, generator="dagan")})


PRESETS: dict[str, Config] = {name: _with_attention(preset) for name, preset in gaugan.PRESETS.items()}


EXPERIMENT = layout_experiment(
    About(
        name="dagan",
        paper="DAGAN: dual attention for semantic image synthesis (ACM MM 2020)",
        data="3D Shapes layouts, rendered; or folders, packed npz",
        time="quick: 6 min on 2 CPU cores",
    ),
    "DAGAN",
    __doc__ or "",
    PRESETS,
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
