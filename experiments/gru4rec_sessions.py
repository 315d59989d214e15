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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.recommendation import session_data, session_training
from experiments.recommendation.serving import CATALOGUE, read_catalogue, sealed
from experiments.recommendation.session_data import DataConfig, check_data
from experiments.recommendation.session_report import findings
from experiments.recommendation.session_training import EvaluateConfig, LossName, SessionModel, SessionSystem
from experiments.session import Session, command_of
from train import config as train_config
from train.bounds import Choices
from train.config import TrainConfig
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps.gru4rec import GRU4RecConfig, RankingConfig


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    """GRU4Rec on sessions."""

    losses: Choices[LossName] = ("xe", "bpr-max")
    """The losses to compare; the model of the first one serves."""
    model: GRU4RecConfig = field(default_factory=GRU4RecConfig)
    """The network of every loss."""
    xe: RankingConfig = field(default_factory=RankingConfig)
    """Cross-entropy with logQ: the best settings of RSC15 in the README of the official code."""
    bpr_max: RankingConfig = RankingConfig(loss="bpr-max")
    """BPR-max: the settings of RSC15 in the official run script for shared embeddings."""
    top1_max: RankingConfig = RankingConfig(loss="top1-max")
    """TOP1-max: no published settings are known; these are near those of its neighbours."""
    bpr: RankingConfig = RankingConfig(loss="bpr")
    """BPR: the settings of the paper of 2016, whose network had no embedding and whose batch was 50."""
    top1: RankingConfig = RankingConfig(loss="top1")
    """TOP1: the settings of the paper of 2016."""
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def objective(self, loss: LossName) -> RankingConfig:
        """The settings of a loss."""
        return getattr(self, loss.replace("-", "_"))


PAPER = Config(
    preset="paper",
    bpr_max=RankingConfig(
        loss="bpr-max",
        activation="elu-0.5",
        score_regularisation=0.5,
        log_q=0.0,
        sample_alpha=0.0,
        dropout_embed=0.0,
        learning_rate=0.2,
        momentum=0.1,
    ),
    top1_max=RankingConfig(
        loss="top1-max", activation="tanh", log_q=0.0, sample_alpha=0.5, dropout_embed=0.0, learning_rate=0.1
    ),
    bpr=RankingConfig(
        loss="bpr",
        activation="tanh",
        log_q=0.0,
        samples=0,
        dropout_embed=0.0,
        dropout_hidden=0.2,
        learning_rate=0.05,
        momentum=0.2,
    ),
    top1=RankingConfig(
        loss="top1",
        activation="tanh",
        log_q=0.0,
        samples=0,
        dropout_embed=0.0,
        dropout_hidden=0.5,
        learning_rate=0.01,
    ),
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


def flow(session: Session[Config], config: Config) -> None:
    """config -> sessions -> a model for each loss -> report."""
    session_training.refuse_other_stopping(session, config.evaluate)
    log = session_data.open_log(config.data)
    data = session_data.number_stage(log.train, log.test)
    part = session_training.choosing_part(log, config.data, config.evaluate, config.train)
    session.begin()
    items, days = [str(name) for name in data.item_ids], session_data.validation_days(config.data)
    session.keep(CATALOGUE, sealed({"items": items, "users": len(data.train)}))
    models = systems_of(config, items).values()
    trained = [session_training.train(session, model, data, part, days) for model in models]
    real = config.preset == "paper" and config.data.source != "simulated"
    session.report(lambda run: findings(run, log, data, part, trained, config.data, published=real))


def systems_of(config: Config, item_ids: Sequence[str]) -> dict[str, SessionSystem]:
    """The models of a run on these items, one for each loss."""

    def of(loss: LossName) -> SessionSystem:
        model = SessionModel(config.model, config.objective(loss), config.evaluate)
        alone = replace(config, losses=(loss,))
        return session_training.system_of(loss, model, item_ids, alone, config.train)

    return {loss: of(loss) for loss in config.losses}


def systems(config: Config, run: RunDirectory) -> Mapping[str, SessionSystem]:
    """Those of a run, on the items that it kept."""
    return systems_of(config, read_catalogue(run).item_ids)


def unused(config: Config) -> list[str]:
    """The settings of losses that are not trained."""
    return [loss.replace("-", "_") for loss in get_args(LossName) if loss not in config.losses]


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    cli.check(config)
    check_data(config.data)
    names = {"xe": "cross-entropy"}
    for loss in get_args(LossName):
        objective = config.objective(loss)
        if objective.loss != names.get(loss, loss):
            remedy = f"give {names.get(loss, loss)}, and choose by --losses"
            raise UserError(f"--{loss}.loss", objective.loss, "is another loss", remedy)
    cli.refuse_validation(config.train, "give 0; validation is after every epoch")
    train_config.check(replace(config.train, steps=config.train.steps or 1), devices=1)


EXPERIMENT = Experiment(
    about=About(
        name="gru4rec_sessions",
        paper="GRU4Rec: session-based recommendations (ICLR 2016, CIKM 2018)",
        data="simulated sessions; or csv, parquet, npz",
        time="quick: 3 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda _: session_training.RESUMABLE,
    unused=unused,
    systems=systems,
    serving=lambda config, _: config.losses[0],
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
