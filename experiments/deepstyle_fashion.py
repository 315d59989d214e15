"""DeepStyle beside VBPR and BPR-MF: recommending by what items look like, less a vector per category.

Papers: Liu, Wu and Wang, "DeepStyle: Learning User Preferences for Visual Recommendation", SIGIR 2017; He and McAuley,
"VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016; Rendle et al., "BPR", UAI 2009.
Every model is trained with every penalty of `--model.l2`, each in a stage of the run. The AUC of validation records
chooses a model's penalty and, for each seed, its number of updates; nothing is chosen on test records.
`paper` takes the published constants: SGD on triples, one penalty of 0.01 for all parameters. `quick` uses Adam and
three seeds. The embedded data are `shapes3d-procedural-fashion`: rendered items and simulated users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from experiments import cli, runs
from experiments.entry import Entry
from experiments.recommendation import fashion_measures, fashion_report
from experiments.recommendation.fashion_measures import Trained, sizes
from experiments.recommendation.fashion_training import catalogue, feed, task, validation_batch
from experiments.recommendation.serving import Recommender, one_of
from experiments.run_report import of_file
from experiments.stored_models import Stored, own
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.data import fashion
from train.data.fashion import FashionData
from train.data.fashion_world import fashion_world
from train.errors import UserError
from train.json_records import read_record
from train.loop import fit
from train.metrics.auc import COLD, Ties
from train.run_directory import RunDirectory
from train.steps import visual_recommenders as visual
from train.steps.visual_recommenders import Kind, VisualConfig
from train.stored_state import Which, load_state

NAME = "deepstyle_fashion"
ABOUT = cli.About(
    name=NAME,
    paper="DeepStyle (SIGIR 2017), VBPR (AAAI 2016), BPR-MF (UAI 2009)",
    data="items rendered, users simulated; or npz",
    time="quick: 6 min on 2 CPU cores, three seeds",
)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The models of the comparison."""

    kinds: tuple[Kind, ...] = ("bpr-mf", "vbpr", "deepstyle")
    """The models to train."""
    l2: tuple[float, ...] = (0.0003, 0.003, 0.03)
    """Penalties lambda of factors and biases that validation chooses among, for each model."""
    l2_visual: float = 0.0
    """Penalty of what multiplies the features: E and beta'."""
    factors: int = 20
    """Dimensions of a user's vector, the same in all models."""
    visual_factors: int = 10
    """VBPR: how many of those are for the image; the others are free factors."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """The papers use SGD."""
    learning_rate: float = 0.01
    """Learning rate."""
    reduction: Literal["mean", "sum"] = "mean"
    """How the triples of a batch are combined. With SGD, the sum moves as far as a step on each triple alone would."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data to train and test on."""

    source: Literal["procedural", "npz"] = "procedural"
    """The rendered world; or a file of `triples`, `feat`, `category` and perhaps `is_test`."""
    path: Path | None = None
    """The file."""
    held: fashion.Held = "leave-one-out"
    """The test records: one of each user, as published; or those that the file's `is_test` names."""
    seed: int = 0
    """Seed of the embedded data, and of the records that are held out at random."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How AUC is measured."""

    ties: Ties = "strict"
    """How equal scores count: not at all, as published; or as a half, as in the area under the ROC curve."""
    cold: int = COLD
    """An item with fewer training records is cold."""


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
CHANGEABLE = (*train_config.RESUMABLE, "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> data -> every model with every penalty -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config)
    data = open_data(config.data)
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS))
        said = f"{data.users:,} users, {data.items:,} items, {data.train.nnz:,} training records"
        cli.say(f"{data.name}: {said}")
        trained = {stage: train(config, data, stage, run, mesh) for stage in stages(config)}
        report(run, config, data, trained)


def stages(config: Config) -> dict[str, VisualConfig]:
    """The trainings of a run: each model with each penalty."""
    shared = {
        "l2_visual": config.model.l2_visual,
        "factors": config.model.factors,
        "visual_factors": config.model.visual_factors,
        "optimiser": config.model.optimiser,
        "learning_rate": config.model.learning_rate,
        "reduction": config.model.reduction,
    }
    return {
        f"{kind}-l2-{l2:g}": VisualConfig(kind=kind, l2_factors=l2, l2_biases=l2, **shared)
        for kind in config.model.kinds
        for l2 in config.model.l2
    }


def in_words(config: DataConfig) -> str:
    """What the data are, for the title."""
    return "rendered items" if config.source == "procedural" else of_file("records", config.path)


def open_data(config: DataConfig) -> FashionData:
    """The data with their test and validation records kept back.

    Raises:
      UserError: they can't be read, or don't fit together.
    """
    if config.source == "procedural":
        if config.held == "file":
            raise UserError("--data.held", "file", "simulated users have no file", "give leave-one-out")
        return fashion_world(seed=config.seed)
    if config.path is None:
        raise UserError("--data.source", "npz", "reads a file", "name it by --data.path")
    return fashion.read_npz(config.path, config.held, config.seed)


def train(config: Config, data: FashionData, stage: str, run: RunDirectory, mesh: Mesh) -> Trained:
    """One model with one penalty, one set of parameters per seed, each at its best validation AUC."""
    cli.say(f"training {stage}")
    fitted = fit(
        task(stages(config)[stage], data, config.evaluate.ties),
        feed(data, config.train.batch_size, mesh),
        validation_batch(data),
        seeds.seed_keys(config.seed, config.seeds),
        config.train,
        run.in_stage(stage),
        mesh,
        first_seed=config.seed,
        profile=config.profile,
        tensorboard=config.tensorboard,
    )
    return Trained(stages(config)[stage], devices.on_one_device(fitted.best))


def report(run: RunDirectory, config: Config, data: FashionData, trained: Mapping[str, Trained]) -> None:
    """Chooses each model's penalty on validation records, measures on test records, and writes everything."""
    if jax.process_index() != 0:
        return
    measured = fashion_measures.measure(data, catalogue(data), trained, config.evaluate.ties)
    fashion_report.write_everything(
        run,
        data,
        catalogue(data),
        measured,
        fashion_report.Protocol(config.evaluate.ties, config.evaluate.cold, config.data.held),
        in_words(config.data),
        cli.settings_of(config),
        cli.settings_of(cli.published(config, PRESETS)),
    )


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from each seed's best checkpoints, with other settings of evaluation."""
    check(config)
    data = open_data(config.data)
    report(run, config, data, {stage: load(run, config, data, stage, "best") for stage in stages(config)})


def load(run: RunDirectory, config: Config, data: FashionData, stage: str, which: Which) -> Trained:
    """A stage's models from the checkpoints.

    Raises:
      UserError: there is none yet.
    """
    settings, keys = stages(config)[stage], seeds.seed_keys(config.seed, config.seeds)
    what = task(settings, data, config.evaluate.ties)
    return Trained(settings, load_state(what, keys, config.train, run.in_stage(stage), which))


def load_recommender(
    run: RunDirectory, which: Which, seed: int | None = None, model: str = ""
) -> Recommender:
    """The model that validation chose or the one named, for new users: their vectors are fitted, the items held fixed.

    Args:
      run: a finished one.
      which: checkpoint.
      seed: of those of the run; the first for None.
      model: one of the run's stages.

    Raises:
      UserError: the run has no results yet, or they name no training of it.
    """
    config = cli.from_json(Config, run.config)
    data = open_data(config.data)
    stage = one_of(list(stages(config)), model, lambda: chosen_stage(run, config))
    settings, state = load(run, config, data, stage, which)
    params = seeds.unstack(state.params, runs.seed_index(seed, config.seed, config.seeds))
    items = visual.all_items(params, catalogue(data), settings, sizes(data))

    @jax.jit
    def of_padded(history: Int[Array, "n width"]) -> Array:
        return visual.fold_in(items, history, settings) @ items.vectors.T + items.biases[None]

    def scores(histories: Sequence[Sequence[int]]) -> np.ndarray:
        padded = np.full((len(histories), max([1, *map(len, histories)])), data.items, np.int32)
        for row, history in zip(padded, histories, strict=True):
            row[: len(history)] = history
        return np.asarray(of_padded(padded))

    return Recommender([str(i) for i in range(data.items)], scores, stage, list(stages(config)))


def chosen_stage(run: RunDirectory, config: Config) -> str:
    """The training that validation chose, the only one where there is one.

    Raises:
      UserError: the run has no results yet, or they name no training of it.
    """
    names = list(stages(config))
    if len(names) == 1:
        return names[0]
    remedy = "finish the run by --resume, or write the results again by evaluate"
    return read_record(run.path / "results.json", "RUN_DIR", run.path, remedy).text("chosen", names)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The models of a run, each with each penalty, with our names: none was published."""
    config = cli.from_json(Config, run.config)
    data = open_data(config.data)
    return {
        stage: Stored(
            run.in_stage(stage),
            replace(config, model=replace(config.model, kinds=(settings.kind,), l2=(settings.l2_factors,))),
            config.train,
            task(settings, data, config.evaluate.ties),
            "best",
            own(),
        )
        for stage, settings in stages(config).items()
    }


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    for flag, given in (("--model.kinds", config.model.kinds), ("--model.l2", config.model.l2)):
        if not given:
            raise UserError(flag, "nothing", "is empty", "leave it out, or give one or more")
    for weight in config.model.l2:
        if not 0 <= weight < float("inf"):
            raise UserError("--model.l2", weight, "is no penalty", "give 0 for none")
    for settings in stages(config).values():
        visual.check(settings)
    cli.check_least([("--train.evaluate-every", config.train.evaluate_every, 1)])
    cli.check_least([("--evaluate.cold", config.evaluate.cold, 1)])
    # Small enough for every device, whether a batch divides over the devices or not.
    train_config.check(config.train, devices=1)


ENTRY = Entry(
    about=ABOUT,
    config=Config,
    check=check,
    evaluate=evaluate,
    stored_models=stored_models,
    load_recommender=load_recommender,
)

if __name__ == "__main__":
    cli.main(main)
