"""GauGAN: images from semantic layouts, by a generator whose normalisations the layout modulates (SPADE).

Paper: Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019.
`paper` takes the constants of the official code; its data are named by `--data.preset` (coco, ade20k, cityscapes, ...)
and `--data.source folders --data.labels DIR --data.images DIR`. The perceptual loss needs `--model.vgg-weights FILE`.
`quick` learns rendered scenes at 64 x 64, whose layouts do not tell the hues: the style encoder has to.
Training lasts `--model.epochs` plus `--model.decay-epochs` epochs, or `--train.steps` where that is not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import cli, layout_synthesis
from experiments.layout_synthesis import Experiment, SynthesisConfig
from experiments.synthesis_measures import EvaluateConfig
from train.config import TrainConfig
from train.run_directory import RunDirectory
from train.steps.gaugan_networks import GauGANConfig

NAME = "gaugan"
ABOUT = cli.About(
    name=NAME,
    paper="SPADE / GauGAN: semantic image synthesis (CVPR 2019)",
    data="3D Shapes layouts, rendered; or folders, packed npz",
    time="quick: about 7 min on 2 CPU cores",
)


@dataclass(frozen=True, kw_only=True)
class Config(SynthesisConfig):
    """GauGAN on semantic layouts."""


PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=0, batch_size=32, evaluate_every=0, checkpoint_every=5000, log_every=50),
)
QUICK = replace(
    PAPER,
    preset="quick",
    model=GauGANConfig(
        width=8,
        discriminator_width=16,
        vae=True,
        latent_dim=16,
        encoder_size=64,
        learning_rate=4e-4,
    ),
    train=replace(PAPER.train, steps=1500, batch_size=8, checkpoint_every=500, log_every=10),
    evaluate=EvaluateConfig(images=256, segmenter_images=1024),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}


def experiment() -> Experiment:
    """What this experiment is to the ones on layouts."""
    return Experiment(NAME, "GauGAN", __doc__ or "", Config, PRESETS)


def main(argv: Sequence[str]) -> None:
    """config -> layouts -> generator and discriminator -> measures -> report."""
    layout_synthesis.run_experiment(experiment(), argv)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, with other settings of evaluation."""
    layout_synthesis.evaluate_run(experiment(), run, config)


if __name__ == "__main__":
    cli.main(main)
