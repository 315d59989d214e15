"""DeepStyle beside VBPR and BPR-MF: recommending by what items look like, less a vector per category.

Papers: Liu, Wu and Wang, "DeepStyle: Learning User Preferences for Visual Recommendation", SIGIR 2017; He and McAuley,
"VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016; Rendle et al., "BPR", UAI 2009.
Every model is trained with every penalty of `--model.l2`, each in a stage of the run. The AUC of validation records
chooses a model's penalty and, for each seed, its number of updates; nothing is chosen on test records.
`paper` takes the published constants: SGD on triples, one penalty of 0.01 for all parameters. `quick` uses Adam and
three seeds. The embedded data are `shapes3d-procedural-fashion`: rendered items and simulated users.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.recommendation.fashion_data import DataConfig, open_data
from experiments.recommendation.fashion_report import findings
from experiments.recommendation.fashion_training import EvaluateConfig, VisualSystem, chosen, system_of, train
from experiments.session import Session, command_of
from train import config as train_config
from train.bounds import AtLeast, NonEmpty, Positive
from train.config import TrainConfig
from train.data.fashion import FashionData
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps import visual_recommenders as visual
from train.steps.visual_recommenders import Kind, VisualConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The models of the comparison."""

    kinds: Annotated[tuple[Kind, ...], NonEmpty()] = ("bpr-mf", "vbpr", "deepstyle")
    """The models to train."""
    l2: Annotated[tuple[Annotated[float, AtLeast(0)], ...], NonEmpty()] = (0.0003, 0.003, 0.03)
    """Penalties lambda of factors and biases that validation chooses among, for each model."""
    l2_visual: Annotated[float, AtLeast(0)] = 0.0
    """Penalty of what multiplies the features: E and beta'."""
    factors: Annotated[int, AtLeast(1)] = 20
    """Dimensions of a user's vector, the same in all models."""
    visual_factors: Annotated[int, AtLeast(1)] = 10
    """VBPR: how many of those are for the image; the others are free factors."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """The papers use SGD."""
    learning_rate: Annotated[float, Positive()] = 0.01
    """Learning rate."""
    reduction: Literal["mean", "sum"] = "mean"
    """How the triples of a batch are combined. With SGD, the sum moves as far as a step on each triple alone would."""


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """BPR-MF, VBPR and DeepStyle in one comparison."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


PAPER = Config(
    preset="paper",
    model=ModelConfig(l2=(0.01,), l2_visual=0.01, optimiser="sgd", reduction="sum"),
    train=TrainConfig(
        steps=200_000,
        batch_size=32,
        inner_steps=500,
        log_every=500,
        evaluate_every=2000,
        patience=10,
        checkpoint_every=20_000,
    ),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    model=ModelConfig(),
    train=replace(
        PAPER.train,
        steps=4000,
        batch_size=512,
        inner_steps=100,
        log_every=20,
        evaluate_every=100,
        patience=8,
        checkpoint_every=1000,
    ),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}


def flow(session: Session[Config], config: Config) -> None:
    """config -> data -> every model with every penalty -> report."""
    data = open_data(config.data)
    session.begin()
    trained = train(session, systems_of(config, data), data)
    session.report(lambda run: findings(run, data, trained, config.data, config.evaluate))


def stages(config: Config) -> dict[str, VisualConfig]:
    """The trainings of a run: each model with each penalty."""
    shared = {name: value for name, value in vars(config.model).items() if name not in ("kinds", "l2")}
    return {
        f"{kind}-l2-{l2:g}": VisualConfig(kind=kind, l2_factors=l2, l2_biases=l2, **shared)
        for kind in config.model.kinds
        for l2 in config.model.l2
    }


def systems_of(config: Config, data: FashionData) -> dict[str, VisualSystem]:
    """The models of a run on these data, by stage."""

    def of(stage: str, settings: VisualConfig) -> VisualSystem:
        alone = replace(config.model, kinds=(settings.kind,), l2=(settings.l2_factors,))
        return system_of(stage, settings, data, config.evaluate, replace(config, model=alone), config.train)

    return {stage: of(stage, settings) for stage, settings in stages(config).items()}


def systems(config: Config, _: RunDirectory) -> Mapping[str, VisualSystem]:
    """Those of a run, whose shapes and features of items are in its data."""
    return systems_of(config, open_data(config.data))


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    for settings in stages(config).values():
        visual.check(settings)
    if not config.train.evaluate_every:
        raise UserError(
            "--train.evaluate-every", 0, "must be at least 1: validation chooses", "give e.g. 100"
        )
    # Small enough for every device, whether a batch divides over the devices or not.
    train_config.check(config.train, devices=1)


EXPERIMENT = Experiment(
    about=About(
        name="deepstyle_fashion",
        paper="DeepStyle (SIGIR 2017), VBPR (AAAI 2016), BPR-MF (UAI 2009)",
        data="items rendered, users simulated; or npz",
        time="quick: 6 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda _: (*train_config.RESUMABLE, "evaluate", "preset"),
    systems=systems,
    serving=lambda config, run: chosen(run, list(stages(config))),
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
