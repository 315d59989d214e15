"""GRU4Rec: the next item of a session, with several ranking losses, beside simple baselines.

Papers: Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based Recommendations with Recurrent Neural Networks", ICLR
2016; Hidasi and Karatzoglou, "Recurrent Neural Networks with Top-k Gains for Session-based Recommendations", CIKM
2018. Session-parallel batches, additional negatives by popularity^alpha, Adagrad; every event but the first of a test
session is predicted, ranked among all training items, ties counted against the target.
The test is the last day of the log (`--data.test-days`; 7 in the protocol of Diginetica), or a part that was made
before (`--data.test`). `paper` has the published settings of RSC15 and trains for the published number of epochs.
`quick` chooses that number, for all seeds of a loss the same, on the last day of the training part
(`--data.validation-days`), and trains again on all of it; nothing is ever chosen on test sessions.
It has fewer additional negatives, and for BPR-max the README's settings of RetailRocket: with those of RSC15, whose
learning rate is four times as high, some seeds get stuck on so few sessions.
The embedded data are simulated sessions: tastes, popular items, and habits of what follows what.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import jax

from experiments import cli, runs
from experiments.entry import Entry
from experiments.recommendation import serving, session_report
from experiments.recommendation.serving import Recommender
from experiments.recommendation.session_data import (
    DataConfig,
    Log,
    check_data,
    in_words,
    number_stage,
    open_log,
    validation_part,
)
from experiments.recommendation.session_training import (
    EvaluateConfig,
    LossName,
    System,
    Trained,
    load,
    load_trained,
    session_scores,
    task,
    train,
)
from experiments.stored_models import Stored, published
from jaxmodels.torch_import.gru4rec import export_state_dict, import_state_dict
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps import gru4rec
from train.steps.gru4rec import GRU4RecConfig, RankingConfig
from train.stored_state import Which

NAME = "gru4rec_sessions"
ABOUT = cli.About(
    name=NAME,
    paper="GRU4Rec: session-based recommendations (ICLR 2016, CIKM 2018)",
    data="simulated sessions; or csv, parquet, npz",
    time="quick: 3 min on 2 CPU cores, three seeds",
)


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """GRU4Rec on sessions."""

    losses: tuple[LossName, ...] = ("xe", "bpr-max")
    """The losses to compare; the model of the first one serves."""
    model: GRU4RecConfig = field(default_factory=GRU4RecConfig)
    """The network of every loss."""
    xe: RankingConfig = field(default_factory=RankingConfig)
    """Cross-entropy with logQ: the best settings of RSC15 in the README of the official code."""
    bpr_max: RankingConfig = RankingConfig(
        loss="bpr-max",
        activation="elu-0.5",
        score_regularisation=0.5,
        log_q=0.0,
        sample_alpha=0.0,
        dropout_embed=0.0,
        learning_rate=0.2,
        momentum=0.1,
    )
    """BPR-max: the settings of RSC15 in the official run script for shared embeddings."""
    top1_max: RankingConfig = RankingConfig(
        loss="top1-max", activation="tanh", log_q=0.0, sample_alpha=0.5, dropout_embed=0.0, learning_rate=0.1
    )
    """TOP1-max: no published settings are known; these are near those of its neighbours."""
    bpr: RankingConfig = RankingConfig(
        loss="bpr",
        activation="tanh",
        log_q=0.0,
        samples=0,
        dropout_embed=0.0,
        dropout_hidden=0.2,
        learning_rate=0.05,
        momentum=0.2,
    )
    """BPR: the settings of the paper of 2016, whose network had no embedding and whose batch was 50."""
    top1: RankingConfig = RankingConfig(
        loss="top1",
        activation="tanh",
        log_q=0.0,
        samples=0,
        dropout_embed=0.0,
        dropout_hidden=0.5,
        learning_rate=0.01,
    )
    """TOP1: the settings of the paper of 2016."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def objective(self, loss: LossName) -> RankingConfig:
        """The settings of a loss."""
        return getattr(self, loss.replace("-", "_"))


PAPER = Config(
    preset="paper",
    train=TrainConfig(steps=0, batch_size=32, inner_steps=100, evaluate_every=0, checkpoint_every=5000),
    evaluate=EvaluateConfig(stopping="fixed"),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    xe=replace(PAPER.xe, samples=256, epochs=8),
    bpr_max=replace(
        PAPER.bpr_max,
        samples=256,
        epochs=8,
        sample_alpha=0.4,
        score_regularisation=1.95,
        dropout_embed=0.5,
        dropout_hidden=0.05,
        learning_rate=0.05,
        momentum=0.4,
    ),
    train=replace(PAPER.train, batch_size=64),
    evaluate=replace(PAPER.evaluate, stopping="validation"),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER}
CHANGEABLE = (*(name for name in train_config.RESUMABLE if name != "train.steps"), "evaluate.at", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> sessions -> a model for each loss -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.data_mesh()
    check(config)
    log = open_log(config.data)
    data = number_stage(log.train, log.test)
    if any(system.chooses for system in systems(config)):
        validation_part(log, config.data)  # fails, if it does, before anything is trained
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, cli.published(config, PRESETS), unused(config))
        session_report.write_catalogue(run, data)
        trained = [
            train(one, log, data, run, mesh, profile=config.profile, tensorboard=config.tensorboard)
            for one in systems(config)
        ]
        report(run, config, log, trained)


def unused(config: Config) -> list[str]:
    """The settings of losses that are not trained."""
    return [loss.replace("-", "_") for loss in get_args(LossName) if loss not in config.losses]


def systems(config: Config) -> list[System]:
    """The models of a run, one for each loss."""
    return [
        System(
            loss,
            config.model,
            config.objective(loss),
            config.train,
            config.evaluate,
            config.data,
            config.seed,
            config.seeds,
        )
        for loss in config.losses
    ]


def report(run: RunDirectory, config: Config, log: Log, trained: Sequence[Trained]) -> None:
    """Measures models and baselines on the test part, and writes results, figures and report."""
    if jax.process_index() != 0:
        return
    real = config.preset == "paper" and config.data.source != "simulated"
    settings, reference = (
        cli.settings_of(c, unused(config)) for c in (config, cli.published(config, PRESETS))
    )
    about = session_report.About(in_words(config.data), settings, reference, real)
    session_report.write_everything(run, log, trained, about)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from the newest checkpoints, with other settings of evaluation.

    Raises:
      UserError: a setting is wrong, or is one of those that the run was trained by.
    """
    check(config)
    given, trained_by = config.evaluate.stopping, cli.from_json(Config, run.config).evaluate.stopping
    if given != trained_by:
        raise UserError(
            "--evaluate.stopping", given, f"the run was trained by {trained_by!r}", "leave it out"
        )
    log = open_log(config.data)
    data = number_stage(log.train, log.test)
    report(run, config, log, [load(one, data, run) for one in systems(config)])


def load_recommender(
    run: RunDirectory, which: Which, seed: int | None = None, model: str = ""
) -> Recommender:
    """The model of the run's first loss or of the one named, of a seed or of the first; a history is a session so far.

    `which` makes no difference: the model that serves was trained for a number of epochs that is its best.
    """
    config: Config = cli.from_json(Config, run.config)
    ids, known = serving.read_catalogue(run).item_ids, {system.loss: system for system in systems(config)}
    name = serving.one_of(config.losses, model, lambda: config.losses[0])
    system = known[name]
    index = runs.seed_index(seed, config.seed, config.seeds)
    state = seeds.unstack(load_trained(system, len(ids), run), index)
    return Recommender(ids, session_scores(system, state, len(ids)), name, config.losses)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The models of a run, one for each loss, with the names of PyTorch."""
    config: Config = cli.from_json(Config, run.config)
    items = len(serving.read_catalogue(run).item_ids)
    return {
        system.loss: Stored(
            run.in_stage(system.stages[1]),
            replace(config, losses=(system.loss,)),
            config.train,
            task(system, items),
            "last",
            published(export_state_dict, import_state_dict),
            (serving.CATALOGUE,),
        )
        for system in systems(config)
    }


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    check_data(config.data)
    if not config.losses or len(set(config.losses)) < len(config.losses):
        raise UserError("--losses", config.losses, "is empty or names one twice", "give e.g. xe bpr-max")
    names = {"xe": "cross-entropy"}
    for loss in get_args(LossName):
        objective = config.objective(loss)
        gru4rec.check(config.model, objective, f"--{loss}")
        if objective.loss != names.get(loss, loss):
            remedy = f"give {names.get(loss, loss)}, and choose by --losses"
            raise UserError(f"--{loss}.loss", objective.loss, "is another loss", remedy)
    cli.refuse_validation(config.train, "give 0; validation is after every epoch")
    cli.check_least(
        [("--train.steps", config.train.steps, 0), ("--evaluate.batch-size", config.evaluate.batch_size, 1)]
    )
    if not config.evaluate.at or min(config.evaluate.at) < 1:
        raise UserError("--evaluate.at", config.evaluate.at, "are no lengths of a list", "give e.g. 5 10 20")
    train_config.check(replace(config.train, steps=config.train.steps or 1), devices=1)


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
