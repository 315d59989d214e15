"""CDAE: recommending more items to known users, in the paper's four variants, with and without a node per user.

Paper: Wu, DuBois, Zheng and Ester, "Collaborative Denoising Auto-Encoders for Top-N Recommender Systems", WSDM 2016.
The protocol is weak generalisation: ratings of at least 4, users and items with at least 5 of them, a random fifth of
each user's items for testing. `--preset paper --data.path ml-10m` (the folder of ratings.dat) is that protocol with the
paper's K, negatives, corruption and number of passes, but not its optimiser; it shows MAP@10 as bars, without numbers.
The official program makes AdaGrad steps on one user at a time, which is slow on any accelerator
(`train.steps.cdae_sequential` restates it); here a step is one of Adam on a batch of users, as for CDAE in the paper of
Mult-VAE. `ml100k` is for MovieLens-100K, with settings chosen on validation items; `quick` simulates users, and takes
minutes on two CPU cores.
Each variant is trained twice: first without a fifth of each user's training items, on which the number of updates is
chosen, the same for all seeds, and then with them. Nothing is chosen on test items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from experiments import cli
from experiments.entry import Entry
from experiments.recommendation import page, serving, training
from experiments.recommendation.data import DataConfig, in_words, open_data
from experiments.recommendation.measures import Setting
from experiments.recommendation.report import About
from experiments.recommendation.serving import Recommender
from experiments.recommendation.training import System
from experiments.run_report import titled
from experiments.stored_models import Stored, own
from train import config as train_config
from train import devices
from train.bounds import Choices
from train.config import TrainConfig
from train.data.interactions import size
from train.run_directory import RunDirectory
from train.steps import cdae
from train.steps.cdae import CDAEConfig
from train.stored_state import Which

NAME = "cdae_movielens"
ABOUT = cli.About(
    name=NAME,
    paper="CDAE: collaborative denoising auto-encoders (WSDM 2016)",
    data="simulated users; or MovieLens, CSV, Parquet, npz, TFDS",
    time="quick: 6 min on 2 CPU cores, three seeds",
)
SETTING = Setting(
    protocol="weak",
    criterion="map@10",
    metrics=("map@10", "precision@5", "precision@10", "recall_of_all@10"),
    ks=(5, 10),
    further=("map", "recall_of_all", "ndcg"),
)
Variant = Literal["M1", "M2", "M3", "M4", "M1-no-user", "M2-no-user", "M3-no-user", "M4-no-user", "custom"]
VARIANTS = {
    "M1": ("identity", "square"),
    "M2": ("identity", "ce"),
    "M3": ("sigmoid", "square"),
    "M4": ("sigmoid", "ce"),
}
"""Hidden activation and loss."""
NO_USER = "-no-user"


@dataclass(frozen=True, kw_only=True)
class Config(training.RunConfig):
    """CDAE on users x items."""

    preset: Literal["quick", "paper", "ml100k"] = "quick"
    """`paper`: the published protocol and constants; `ml100k`: for that set; `quick`: simulated users."""
    models: Choices[Variant] = (
        "M1",
        "M2",
        "M3",
        "M4",
        "M1-no-user",
        "M2-no-user",
        "M3-no-user",
        "M4-no-user",
    )
    """Variants of the paper, with their own --model.hidden, --model.loss and --model.user-node; `custom` has those
    given."""
    model: CDAEConfig = field(default_factory=CDAEConfig)


PAPER = Config(
    preset="paper",
    epochs=50,
    model=CDAEConfig(learning_rate=5e-3),
    train=TrainConfig(steps=0, batch_size=100, inner_steps=50, evaluate_every=0),
    data=DataConfig(source="movielens"),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    epochs=30,
    models=("M1", "M2", "M3", "M4", "M4-no-user"),
    data=DataConfig(),
)
ML100K = replace(
    QUICK,
    preset="ml100k",
    seeds=1,
    epochs=100,
    models=PAPER.models,
    model=replace(PAPER.model, l2=0.03),
    train=replace(PAPER.train, batch_size=50),
    data=PAPER.data,
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER, "ml100k": ML100K}
CHANGEABLE = (*train_config.RESUMABLE, "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> users x items -> one variant after the other -> baselines -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.item_mesh(config.mesh)
    check(config)
    data = open_data(config.data, SETTING.protocol)
    run = cli.open_or_create(config, resumed, NAME, CHANGEABLE)
    with cli.training(run, config) as run:
        cli.announce(config, run, PAPER)
        serving.write_catalogue(run, data, mesh)
        trained = []
        for system in systems(config, size(data.split.train)[0], len(data.item_ids)):
            cli.say(f"{system.name} on {data.name}:")
            trained.append(training.train(config, system, data, SETTING, run, mesh))
        page.measure_and_report(
            run, config, data, trained, SETTING, about(config, training.best_of(trained, SETTING))
        )


def systems(config: Config, users: int, items: int) -> list[System]:
    """The variants that are trained, for so many users and items."""

    def system(name: Variant) -> System:
        model = variant(name, config.model)
        return System(
            stage=name.lower(),
            name=f"CDAE {name}",
            init=partial(cdae.init_state, config=model, users=users, items=items),
            train_step=partial(cdae.train_step, config=model, items=items),
            scores=partial(cdae.scores, config=model),
            note=f"{model.hidden}, {model.loss}, {'user node' if model.user_node else 'no user node'}",
        )

    return [system(name) for name in config.models]


def variant(name: Variant, model: CDAEConfig) -> CDAEConfig:
    """The settings of a variant."""
    if name == "custom":
        return model
    hidden, loss = VARIANTS[name.removesuffix(NO_USER)]
    return replace(model, hidden=hidden, loss=loss, user_node=not name.endswith(NO_USER))


def about(config: Config, best: str) -> About:
    """What the page says besides the numbers."""
    notes = [
        "Weak generalisation: test items are some of the training users' own.",
        "The number of updates of each variant, and the settings of item-KNN and EASE, were chosen on validation items "
        "out of the training items; what is tested learned from all training items. Nothing was chosen on test items.",
    ]
    settings, reference = (cli.settings_of(c) for c in (config, PAPER))
    return About(
        titled("CDAE", in_words(config.data)),
        [f"Best variant on validation items: {best}."],
        notes,
        settings,
        reference,
    )


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from its last checkpoints."""
    check(config)
    data, catalogue = open_data(config.data, SETTING.protocol), serving.read_catalogue(run)
    trained = [
        serving.load(config, system, catalogue, SETTING, run, "last")
        for system in systems(config, catalogue.users, len(catalogue.item_ids))
    ]
    page.measure_and_report(
        run, config, data, trained, SETTING, about(config, training.best_of(trained, SETTING))
    )


def load_recommender(
    run: RunDirectory, which: Which, seed: int | None = None, model: str = ""
) -> Recommender:
    """The run's best variant on validation items, or the one named; a seed, or the first.

    New users have no node of their own.
    """
    config, catalogue = cli.from_json(Config, run.config), serving.read_catalogue(run)
    known = systems(config, catalogue.users, len(catalogue.item_ids))
    return serving.best_recommender(run, config, known, catalogue, SETTING, which, seed, model)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The variants of a run, with our names: none was published."""
    config, catalogue = cli.from_json(Config, run.config), serving.read_catalogue(run)
    known = systems(config, catalogue.users, len(catalogue.item_ids))
    return {
        name: serving.stored(replace(config, models=(name,)), system, catalogue, SETTING, run, own())
        for name, system in zip(config.models, known, strict=True)
    }


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    training.check(config)
    cdae.check(config.model)


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
