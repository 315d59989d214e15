"""Minimising mutual information with CLUB: three experiments of its paper.

Paper: Cheng, Hao, Dai, Liu, Gan and Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML
2020; the bottleneck after Alemi, Fischer, Dillon and Murphy, "Deep Variational Information Bottleneck", ICLR 2017.
`--parts` chooses among

  gaussians    angles of two mixtures of the same noise are turned until the mixtures are independent, beside the
               analytic mutual information (the official notebook, as published in either preset)
  bottleneck   digits are classified from a latent that may keep little of the image
  adaptation   digits of one domain are learned from labels, and recognised in another domain without any

`--preset paper` has the constants of the official code, for MNIST; `quick` has smaller networks and fewer updates, for
the digits that scikit-learn ships. Every part has a batch size and a length of its own; --train.steps replaces the
length of them all. Nothing is chosen on test data: every number is of the last update, while the official code reports
the best epoch on test images and the best accuracy on target labels.
"""

from dataclasses import dataclass, field, replace
from typing import get_args

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.information.minimisation_data import DataConfig, in_words, open_data
from experiments.information.minimisation_measures import EvaluateConfig
from experiments.information.minimisation_report import Subject, findings
from experiments.information.minimisation_stages import (
    Part,
    Stage,
    measured,
    of_adaptation,
    of_bottleneck,
    of_gaussians,
    train,
)
from experiments.session import Session, command_of
from train import config as train_config
from train.bounds import Choices
from train.config import TrainConfig
from train.data.digits import Digits
from train.steps import domain_adaptation, information_bottleneck, mixed_gaussians


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """Mutual information that is minimised."""

    parts: Choices[Part] = ("gaussians", "bottleneck", "adaptation")
    """The experiments to run."""
    gaussians: mixed_gaussians.MixingConfig = field(default_factory=mixed_gaussians.MixingConfig)
    estimates: Choices[mixed_gaussians.Estimate] = ("club", "club-sampled", "club-known")
    """What is lowered on Gaussians; `club-known` has the true p(y|x)."""
    bottleneck: information_bottleneck.BottleneckConfig = field(
        default_factory=information_bottleneck.BottleneckConfig
    )
    penalties: Choices[information_bottleneck.PenaltyName] = get_args(information_bottleneck.PenaltyName)
    """What is lowered in the bottleneck: plain (nothing), VUB, CLUB, CLUB-S, vCLUB, vCLUB-S."""
    adaptation: domain_adaptation.AdaptationConfig = field(default_factory=domain_adaptation.AdaptationConfig)
    methods: Choices[domain_adaptation.Method] = ("source-only", "club", "club-sampled")
    """Methods of domain adaptation."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


PAPER = Config(
    preset="paper",
    train=TrainConfig(
        steps=0, batch_size=0, inner_steps=100, log_every=20, evaluate_every=0, checkpoint_every=2000
    ),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    bottleneck=replace(PAPER.bottleneck, latent_dim=64, hidden=(256, 256), q_hidden=(64,), epochs=100),
    adaptation=replace(
        PAPER.adaptation, channels=(16, 32, 32), convolutions=1, dropout=0.1, noise=0.2, steps=400
    ),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}


def flow(session: Session[Config], config: Config) -> None:
    """config -> data -> one training after the other -> report."""
    data = open_data(config.data, config.bottleneck, config.adaptation)
    wanted, name = stages(config, data), in_words(config.data)
    session.begin()
    states = {stage: train(session, stage, config.train) for stage in wanted}
    subject = Subject.of(name, data, config.data.domain, "adaptation" in config.parts)
    session.report(lambda run: findings(run, measured(run, states), subject))


def stages(config: Config, data: Digits) -> list[Stage]:
    """Everything that is trained, in the order of the report."""
    domain, evaluate = config.data.domain, config.evaluate
    of_part: dict[str, list[Stage]] = {
        "gaussians": of_gaussians(config.gaussians, config.estimates),
        "bottleneck": of_bottleneck(config.bottleneck, config.penalties, data, evaluate),
        "adaptation": of_adaptation(config.adaptation, config.methods, domain, data, evaluate),
    }
    wanted = [stage for part, items in of_part.items() if part in config.parts for stage in items]
    return [stage._replace(steps=config.train.steps or stage.steps) for stage in wanted]


def unused(config: Config) -> list[str]:
    """The groups of settings of parts that are not trained, with what those parts list."""
    lists = {"gaussians": "estimates", "bottleneck": "penalties", "adaptation": "methods"}
    return [name for part in lists if part not in config.parts for name in (part, lists[part])]


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    remedy = "give 0; every part has a length and a batch size of its own, as --bottleneck.batch-size"
    cli.refuse(config.train, ("evaluate_every", "patience", "batch_size"), remedy)
    train_config.check(replace(config.train, steps=config.train.steps or 1, batch_size=2))


EXPERIMENT = Experiment(
    about=About(
        name="mi_minimisation",
        paper="minimising mutual information with CLUB (ICML 2020)",
        data="Gaussians, drawn; digits of scikit-learn, or MNIST from a file or TFDS",
        time="quick: 2 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda config: (
        *("train.inner_steps", "train.log_every", "train.checkpoint_every"),
        *("evaluate", "preset"),
    ),
    unused=unused,
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
