"""Mult-VAE^PR and Mult-DAE: recommending items to users that training never saw.

Paper: Liang, Krishnan, Hoffman and Jebara, "Variational Autoencoders for Collaborative Filtering", WWW 2018. The
published protocol is strong generalisation on MovieLens-20M: ratings of at least 4, users with at least 5 of them,
10,000 users each for validation and for testing, whose items are divided into 80 % that are given and 20 % that are
to be found. `--preset paper --data.path ml-20m` (the folder of ratings.csv) is that; the paper reports NDCG@100 .426
(Mult-VAE) and .419 (Mult-DAE). `ml1m` and `ml100k` are for the smaller MovieLens sets, with settings chosen on
validation users. `quick` simulates users, and takes minutes on two CPU cores.
Training lasts --epochs passes over the training users, or --train.steps if that is not 0; each seed's best state on
validation users is what is tested. Both models stand beside popularity, item-KNN and EASE, chosen on the same users.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.recommendation import measures, page, serving, training
from experiments.recommendation.data import DataConfig
from experiments.recommendation.report import Published
from experiments.session import Session, command_of
from experiments.weight_names import published
from jaxmodels.torch_import.mult_vae import export_state_dict, import_state_dict
from train.bounds import Choices
from train.config import TrainConfig
from train.errors import UserError
from train.steps import mult_vae
from train.steps.mult_vae import MultVAEConfig

SETTING = measures.Setting(
    protocol="strong",
    criterion="ndcg@100",
    metrics=("ndcg@100", "recall@20", "recall@50"),
    ks=(20, 50, 100),
    further=("ndcg", "recall"),
    notes=(
        "Strong generalisation: no validation or test user is a training user.",
        "Each seed's best state on validation users is what was tested, and the settings of item-KNN and EASE were "
        "chosen on the same users: nothing was chosen on test users.",
    ),
)
PUBLISHED = {
    "Mult-VAE": Published("the paper", "ML-20M", {"ndcg@100": 0.426, "recall@20": 0.395, "recall@50": 0.537}),
    "Mult-DAE": Published("the paper", "ML-20M", {"ndcg@100": 0.419, "recall@20": 0.387, "recall@50": 0.524}),
    "EASE": Published("EASE's paper", "ML-20M", {"ndcg@100": 0.420, "recall@20": 0.391, "recall@50": 0.521}),
}


@dataclass(frozen=True, kw_only=True)
class Config(training.RunConfig):
    """Mult-VAE and Mult-DAE on users x items."""

    preset: Literal["quick", "paper", "ml1m", "ml100k"] = "quick"
    """`paper`: the published protocol and constants; `ml1m`, `ml100k`: for those sets; `quick`: simulated users."""
    models: Choices[Literal["vae", "dae"]] = ("vae", "dae")
    """What is trained."""
    model: MultVAEConfig = field(default_factory=MultVAEConfig)
    """Mult-VAE."""
    dae: MultVAEConfig = field(default_factory=lambda: MultVAEConfig(kind="dae", hidden=(), l2=2e-5))
    """Mult-DAE."""


PAPER = Config(
    preset="paper",
    epochs=200,
    train=TrainConfig(steps=0, batch_size=500, inner_steps=50, evaluate_every=0),
    data=DataConfig(source="movielens", held_out_users=10_000),
)
QUICK = replace(
    PAPER,
    preset="quick",
    seeds=3,
    epochs=60,
    model=replace(PAPER.model, anneal_steps=0),
    train=replace(PAPER.train, batch_size=100),
    data=DataConfig(),
)
ML1M = replace(
    PAPER,
    preset="ml1m",
    epochs=80,
    model=replace(PAPER.model, anneal_steps=0),
    dae=replace(PAPER.dae, l2=5e-5),
    train=replace(PAPER.train, batch_size=200),
    data=replace(PAPER.data, held_out_users=1000),
)
ML100K = replace(
    ML1M,
    preset="ml100k",
    epochs=120,
    dae=replace(PAPER.dae, l2=2e-4),
    train=replace(PAPER.train, batch_size=50),
    data=replace(PAPER.data, held_out_users=150),
)
PRESETS: dict[str, Config] = {"quick": QUICK, "paper": PAPER, "ml1m": ML1M, "ml100k": ML100K}


def flow(session: Session[Config], config: Config) -> None:
    """config -> users x items -> one model after the other -> baselines -> report."""
    data, catalogue = training.begin(session, SETTING)
    trained = [training.train(session, system(config, catalogue, kind), data) for kind in config.models]
    session.report(lambda run: page.measured(run, config, data, trained, SETTING, published=PUBLISHED))


def system(config: Config, catalogue: serving.Catalogue, kind: str) -> training.UserSystem:
    """One of the models, for the users and items of a catalogue."""
    title, model = {"vae": ("Mult-VAE", config.model), "dae": ("Mult-DAE", config.dae)}[kind]
    updates = training.schedule(config.train, config.epochs, catalogue.users).steps
    model = replace(model, anneal_steps=mult_vae.anneal_steps(model, updates))
    return training.user_system(
        config,
        SETTING,
        catalogue,
        name=kind,
        title=title,
        init=partial(mult_vae.init_state, config=model, items=catalogue.items),
        train_step=partial(mult_vae.train_step, config=model, items=catalogue.items),
        scores=lambda params, x, user: mult_vae.scores(params, x, model),
        names=published(export_state_dict, import_state_dict),
        note=model.architecture,
    )


def unused(config: Config) -> list[str]:
    """The settings of a model that is not trained."""
    return [name for name, model in (("model", "vae"), ("dae", "dae")) if model not in config.models]


def changeable(config: Config) -> tuple[str, ...]:
    """What may change when a run is resumed; its length may not where beta depends on it."""
    fixed = "vae" in config.models and not config.model.anneal_steps
    return tuple(name for name in training.CHANGEABLE if not (fixed and name == "train.steps"))


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    training.check(config)
    for flag, model, kind in (("--model.kind", config.model, "vae"), ("--dae.kind", config.dae, "dae")):
        if model.kind != kind:
            raise UserError(flag, model.kind, "is the other model", f"give {kind}, and choose by --models")


EXPERIMENT = Experiment(
    about=About(
        name="multvae_movielens",
        paper="Mult-VAE and Mult-DAE: collaborative filtering (WWW 2018)",
        data="simulated users; or MovieLens, CSV, Parquet, npz, TFDS",
        time="quick: 5 min on 2 CPU cores, three seeds",
    ),
    doc=__doc__ or "",
    presets=PRESETS,
    flow=flow,
    check=check,
    changeable=changeable,
    unused=unused,
    mesh=training.mesh_of,
    systems=partial(training.systems, system),
    serving=partial(training.best_on_validation, system, SETTING),
)
main = command_of(EXPERIMENT)

if __name__ == "__main__":
    cli.main(main)
