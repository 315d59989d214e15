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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from experiments import cli
from experiments.entry import Entry
from experiments.recommendation import page, serving, training
from experiments.recommendation.data import DataConfig, in_words, open_data
from experiments.recommendation.measures import Setting
from experiments.recommendation.report import About, Published
from experiments.recommendation.serving import Recommender
from experiments.recommendation.training import System
from experiments.run_report import titled
from experiments.stored_models import Stored, published
from jaxmodels.torch_import.mult_vae import export_state_dict, import_state_dict
from train import config as train_config
from train import devices
from train.config import TrainConfig
from train.data.interactions import size
from train.errors import UserError
from train.run_directory import RunDirectory
from train.steps import mult_vae
from train.steps.mult_vae import MultVAEConfig
from train.stored_state import Which

NAME = "multvae_movielens"
ABOUT = cli.About(
    name=NAME,
    paper="Mult-VAE and Mult-DAE: collaborative filtering (WWW 2018)",
    data="simulated users; or MovieLens, CSV, Parquet, npz, TFDS",
    time="quick: 5 min on 2 CPU cores, three seeds",
)
SETTING = Setting(
    protocol="strong",
    criterion="ndcg@100",
    metrics=("ndcg@100", "recall@20", "recall@50"),
    ks=(20, 50, 100),
    further=("ndcg", "recall"),
)
PUBLISHED: Mapping[str, Published] = {
    "Mult-VAE": Published("the paper", "ML-20M", {"ndcg@100": 0.426, "recall@20": 0.395, "recall@50": 0.537}),
    "Mult-DAE": Published("the paper", "ML-20M", {"ndcg@100": 0.419, "recall@20": 0.387, "recall@50": 0.524}),
    "EASE": Published("EASE's paper", "ML-20M", {"ndcg@100": 0.420, "recall@20": 0.391, "recall@50": 0.521}),
}
TITLES = {"vae": "Mult-VAE", "dae": "Mult-DAE"}


@dataclass(frozen=True, kw_only=True)
class Config(training.RunConfig):
    """Mult-VAE and Mult-DAE on users x items."""

    preset: Literal["quick", "paper", "ml1m", "ml100k"] = "quick"
    """`paper`: the published protocol and constants; `ml1m`, `ml100k`: for those sets; `quick`: simulated users."""
    models: tuple[Literal["vae", "dae"], ...] = ("vae", "dae")
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
CHANGEABLE = (*train_config.RESUMABLE, "evaluate", "preset")


def main(argv: Sequence[str]) -> None:
    """config -> users x items -> one model after the other -> baselines -> report."""
    config, resumed = cli.parse(Config, PRESETS, NAME, __doc__ or "", argv)
    cli.prepare(config)
    mesh = devices.item_mesh(config.mesh)
    check(config)
    data = open_data(config.data, SETTING.protocol)
    run = cli.open_or_create(config, resumed, NAME, changeable(config))
    with cli.training(run, config) as run:
        cli.announce(config, run, PAPER, unused(config))
        serving.write_catalogue(run, data, mesh)
        trained = []
        for system in systems(config, size(data.split.train)[0], len(data.item_ids)):
            cli.say(f"{system.name} on {data.name}:")
            trained.append(training.train(config, system, data, SETTING, run, mesh))
        page.measure_and_report(run, config, data, trained, SETTING, about(config))


def unused(config: Config) -> list[str]:
    """The settings of a model that is not trained."""
    return [name for name, model in (("model", "vae"), ("dae", "dae")) if model not in config.models]


def changeable(config: Config) -> tuple[str, ...]:
    """What may change when a run is resumed; its length may not where beta depends on it."""
    fixed = "vae" in config.models and not config.model.anneal_steps
    return tuple(name for name in CHANGEABLE if not (fixed and name == "train.steps"))


def systems(config: Config, users: int, items: int) -> list[System]:
    """The models that are trained, for so many training users and items."""
    known = {"vae": ("Mult-VAE", config.model), "dae": ("Mult-DAE", config.dae)}
    updates = training.schedule(config.train, config.epochs, users).steps

    def system(kind: str) -> System:
        name, model = known[kind]
        model = replace(model, anneal_steps=mult_vae.anneal_steps(model, updates))
        return System(
            stage=kind,
            name=name,
            init=partial(mult_vae.init_state, config=model, items=items),
            train_step=partial(mult_vae.train_step, config=model, items=items),
            scores=lambda params, x, user: mult_vae.scores(params, x, model),
            note=architecture(model),
        )

    return [system(kind) for kind in config.models]


def architecture(model: MultVAEConfig) -> str:
    """I-600-200-600-I, as the paper writes it."""
    sizes = map(str, (*model.hidden, model.latent_dim, *model.hidden[::-1]))
    return f"I-{'-'.join(sizes)}-I"


def about(config: Config) -> About:
    """What the page says besides the numbers."""
    notes = [
        "Strong generalisation: no validation or test user is a training user.",
        "Each seed's best state on validation users is what was tested, and the settings of item-KNN and EASE were "
        "chosen on the same users: nothing was chosen on test users.",
    ]
    settings, reference = (cli.settings_of(c, unused(config)) for c in (config, PAPER))
    published = {} if config.data.source == "simulated" else PUBLISHED
    models = " and ".join(TITLES[name] for name in config.models)
    return About(titled(models, in_words(config.data)), [], notes, settings, reference, published)


def evaluate(run: RunDirectory, config: Config) -> None:
    """Measures a run again, from each seed's best checkpoint."""
    check(config)
    data, catalogue = open_data(config.data, SETTING.protocol), serving.read_catalogue(run)
    trained = [
        serving.load(config, system, catalogue, SETTING, run, "best")
        for system in systems(config, catalogue.users, len(catalogue.item_ids))
    ]
    page.measure_and_report(run, config, data, trained, SETTING, about(config))


def load_recommender(
    run: RunDirectory, which: Which, seed: int | None = None, model: str = ""
) -> Recommender:
    """The run's best model on validation users, or the one named; a seed, or the first."""
    config, catalogue = cli.from_json(Config, run.config), serving.read_catalogue(run)
    known = systems(config, catalogue.users, len(catalogue.item_ids))
    return serving.best_recommender(run, config, known, catalogue, SETTING, which, seed, model)


def stored_models(run: RunDirectory) -> dict[str, Stored]:
    """The models of a run, with the names of their PyTorch ports."""
    config, catalogue = cli.from_json(Config, run.config), serving.read_catalogue(run)
    known = systems(config, catalogue.users, len(catalogue.item_ids))
    return {
        system.stage: serving.stored(
            replace(config, models=(system.stage,)),
            system,
            catalogue,
            SETTING,
            run,
            published(export_state_dict, import_state_dict),
        )
        for system in known
    }


def check(config: Config) -> None:
    """Raises UserError for settings that can't be run."""
    training.check(config)
    if not config.models or len(set(config.models)) < len(config.models):
        raise UserError("--models", config.models, "is empty or names one twice", "give vae, dae or both")
    for flag, model, kind in (("--model.kind", config.model, "vae"), ("--dae.kind", config.dae, "dae")):
        mult_vae.check(model)
        if model.kind != kind:
            raise UserError(flag, model.kind, "is the other model", f"give {kind}, and choose by --models")


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
