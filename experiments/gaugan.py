"""GauGAN: images from semantic layouts, by a generator whose normalisations the layout modulates (SPADE).

Paper: Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019.
`paper` takes the constants of the official code; its data are named by `--data.preset` (coco, ade20k, cityscapes, ...)
and `--data.source folders --data.labels DIR --data.images DIR`; data of your own need `--data.classes` too, and
`--data.class-names FILE` names the classes. The perceptual loss needs `--model.vgg-weights FILE`.
`quick` learns rendered scenes at 64 x 64, whose layouts do not tell the hues: the style encoder has to.
Training lasts `--model.epochs` plus `--model.decay-epochs` epochs, or `--train.steps` if that is not 0.
"""

from dataclasses import dataclass, replace

from experiments import cli
from experiments.experiment import About
from experiments.session import command_of
from experiments.synthesis.layout_synthesis import SynthesisConfig, layout_experiment
from experiments.synthesis.measures import EvaluateConfig
from train.config import TrainConfig
from train.steps.gaugan_networks import GauGANConfig


@dataclass(frozen=True, kw_only=True)
class Config(SynthesisConfig):
    """GauGAN on semantic layouts."""


PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=0, batch_size=32, evaluate_every=0, checkpoint_every=5000, log_every=50),
)
# Minutes of updates: SPADE's convolutions are cheap ones; kernels start at the size that keeps a signal's, not at a
# fiftieth of it, which hundreds of updates go into growing; the encoder keeps the mean colours that its instance norm
# would take out; one rate for both players. The batch has to be large for the style: in train mode batch norm tells a
# layer no more about it than how it differs from the batch.
QUICK = replace(
    PAPER,
    preset="quick",
    model=GauGANConfig(
        width=8,
        kernel=1,
        hidden=32,
        vae=True,
        latent_dim=16,
        encoder_size=64,
        encoder_norm="none",
        discriminator_width=16,
        coef_kl=0.002,
        learning_rate=1e-3,
        ttur=False,
        gain=1.0,
    ),
    train=replace(PAPER.train, steps=400, batch_size=16, checkpoint_every=100, log_every=10),
    evaluate=EvaluateConfig(images=256, segmenter_images=1024),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}


EXPERIMENT = layout_experiment(
    About(
        name="gaugan",
        paper="SPADE / GauGAN: semantic image synthesis (CVPR 2019)",
        data="3D Shapes layouts, rendered; or folders, packed npz",
        time="quick: 6 min on 2 CPU cores",
    ),
    "GauGAN",
    __doc__ or "",
    PRESETS,
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
