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

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.recommendation import measures, page, serving, training
from experiments.recommendation.data import DataConfig
from experiments.session import Session, command_of
from experiments.weight_names import own
from train.bounds import Choices
from train.config import TrainConfig
from train.steps import cdae
from train.steps.cdae import CDAEConfig

SETTING = measures.Setting(
    protocol="weak",
    criterion="map@10",
    metrics=("map@10", "precision@5", "precision@10", "recall_of_all@10"),
    ks=(5, 10),
    further=("map", "recall_of_all", "ndcg"),
    notes=(
        "Weak generalisation: test items are some of the training users' own.",
        "The number of updates of each variant, and the settings of item-KNN and EASE, were chosen on validation items "
        "out of the training items; what is tested learned from all training items. Nothing was chosen on test items.",
    ),
)
Published = Literal["M1", "M2", "M3", "M4", "M1-no-user", "M2-no-user", "M3-no-user", "M4-no-user"]
Variant = Literal[Published, "custom"]
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
    models: Choices[Variant] = get_args(Published)
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


def flow(session: Session[Config], config: Config) -> None:
    """config -> users x items -> one variant after the other -> baselines -> report."""
    data, catalogue = training.begin(session, SETTING)
    trained = [training.train(session, system(config, catalogue, name), data) for name in config.models]
    summary = [f"Best variant on validation items: {training.best_of(trained, SETTING)}."]
    session.report(lambda run: page.measured(run, config, data, trained, SETTING, "CDAE", summary))


def system(config: Config, catalogue: serving.Catalogue, name: Variant) -> training.UserSystem:
    """A variant, for the users and items of a catalogue, its weights by our names: none was published."""
    model = variant(name, config.model)
    return training.user_system(
        config,
        SETTING,
        catalogue,
        name=name,
        title=f"CDAE {name}",
        init=partial(cdae.init_state, config=model, users=catalogue.users, items=catalogue.items),
        train_step=partial(cdae.train_step, config=model, items=catalogue.items),
        scores=partial(cdae.scores, config=model),
        names=own(),
        note=f"{model.hidden}, {model.loss}, {'user node' if model.user_node else 'no user node'}",
    )


def variant(name: Variant, model: CDAEConfig) -> CDAEConfig:
    """The settings of a variant."""
    if name == "custom":
        return model
    hidden, loss = VARIANTS[name.removesuffix(NO_USER)]
    return replace(model, hidden=hidden, loss=loss, user_node=not name.endswith(NO_USER))


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    training.check(config)
    cdae.check(config.model)


EXPERIMENT = Experiment(
    about=About(
        name="cdae_movielens",
        paper="CDAE: collaborative denoising auto-encoders (WSDM 2016)",
        data="simulated users; or MovieLens, CSV, Parquet, npz, TFDS",
        time="quick: 6 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=lambda config: training.CHANGEABLE,
    mesh=training.mesh_of,
    systems=partial(training.systems, system),
    serving=partial(training.best_on_validation, system, SETTING),
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
