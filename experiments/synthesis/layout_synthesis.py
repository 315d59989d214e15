"""Images from semantic layouts: what the experiments GauGAN and DAGAN share, from the flags to the report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments import cli
from experiments.experiment import About, Experiment, System, experiment_of
from experiments.run_report import of_file, titled
from experiments.session import Session
from experiments.synthesis.feature_networks import open_perceptual
from experiments.synthesis.measures import EvaluateConfig, check_evaluation, open_networks
from experiments.synthesis.pictures import sheet
from experiments.synthesis.report import findings
from experiments.synthesis.synthesiser import Synthesiser
from experiments.weight_names import Names, own
from jaxmodels.spade import latent_grid
from train import config as train_config
from train import devices, seeds
from train.config import TrainConfig
from train.data.label_census import listed
from train.data.label_config import LayoutConfig, open_layouts
from train.data.label_maps import LARGEST_VALUE
from train.data.label_presets import PRESETS
from train.data.layout_parts import LayoutData
from train.errors import UserError
from train.json_records import read_record
from train.layout import Layout
from train.run_directory import RunDirectory
from train.steps import gaugan
from train.steps.gaugan import GauGANState
from train.steps.gaugan_networks import GauGANConfig, check
from train.steps.gaugan_weights import export_official, insert_official
from train.task import Task

CHANGEABLE = (
    *train_config.RESUMABLE,
    "data.class_names",
    "data.max_corrupt",
    "evaluate",
    "preset",
)
LAYOUT = "layout.json"
"""In a run's folder: what layouts it was trained on."""
LARGEST_SIDE = 2**14
"""Pixels of an image; a file that says more was altered."""
SHOWN = 6
"""Examples of a sample sheet."""


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig(cli.RunConfig):
    """Settings of an experiment on layouts."""

    model: GauGANConfig = field(default_factory=GauGANConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: LayoutConfig = field(default_factory=LayoutConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


Settings = TypeVar("Settings", bound=SynthesisConfig)


@dataclass(frozen=True, kw_only=True)
class LayoutSystem(System[GauGANState]):
    """The networks of a run, for `synthesise` too."""

    config: SynthesisConfig
    layout: Layout


def layout_experiment(
    about: About, title: str, doc: str, presets: Mapping[str, Settings]
) -> Experiment[Settings]:
    """An experiment on layouts; `title` is what its network is called in reports."""
    return Experiment(
        about=about,
        doc=doc,
        presets=presets,
        flow=partial(flow, title=title),
        check=check_settings,
        changeable=lambda config: CHANGEABLE,
        systems=lambda config, run: {about.name: system_of(about.name, title, config, saved_layout(run))},
    )


def flow(session: Session[Settings], config: Settings, title: str) -> None:
    """config -> layouts -> generator and discriminator -> segmenter and other measures -> report."""
    data = open_data(config)
    limits = train_limits(config, data)
    session.check_batch(limits, least=1)
    perceptual = None if session.replays else open_perceptual(config.model)
    open_networks(config.evaluate)
    session.begin()
    session.keep(LAYOUT, asdict(data.layout))
    if not session.replays:
        announce(config, data, perceptual)
    trained = session.fit(
        task(config, data.layout, steps_per_epoch(config, data), perceptual),
        lambda mesh: data.feed(config.train.batch_size, session.keys, mesh, limits.inner_steps),
        None,
        limits,
        watch=partial(draw_sheet, session.run, config, data),
    )
    models = synthesisers(config, data.layout, trained.state("last"))
    page = titled(title, in_words(config.data))
    session.report(lambda run: findings(run, page, models, data, config.evaluate, config.seed))


def announce(config: SynthesisConfig, data: LayoutData, perceptual: gaugan.Perceptual | None) -> None:
    """Says what is trained on, and what its loss lacks."""
    cli.say(f"{data.name}: {len(data.train):,} training pairs, {describe(data.layout)}")
    if data.absent:
        cli.say(f"no training map holds these classes: {listed(data.absent)}")
    if config.model.coef_vgg and perceptual is None:
        cli.say("NO PERCEPTUAL LOSS: --model.vgg-weights names no file with weights of VGG19")


def check_upsampling(model: GauGANConfig, data: LayoutConfig) -> None:
    """Raises UserError where a preset's published network has other doublings: its weights would fit all the same."""
    published = PRESETS[data.preset].upsampling
    if data.preset != "custom" and model.upsampling != published:
        problem = f"is not what {data.preset} was published with"
        remedy = f"give {published}, or --data.preset custom with the settings of your own"
        raise UserError("--model.upsampling", model.upsampling, problem, remedy)


def describe(layout: Layout) -> str:
    """A layout in a few words."""
    extras = [" and unknown"] * layout.dont_care + [", with instances"] * layout.instances
    return f"{layout.width} x {layout.height} pixels, {layout.classes} classes{''.join(extras)}"


def open_data(config: SynthesisConfig) -> LayoutData:
    """The layouts, and the settings checked against them.

    Raises:
      UserError: the settings can't be run, or not on these data.
    """
    data = open_layouts(config.data)
    check(config.model, data.layout)
    if config.data.preset != "custom":
        check_upsampling(config.model, config.data)
    check_evaluation(config.evaluate, data)
    check_batch(config.model, config.train.batch_size, data.layout)
    if config.train.batch_size > len(data.train):
        problem = f"exceeds the {len(data.train)} training pairs"
        raise UserError("--train.batch-size", config.train.batch_size, problem, "give a smaller one")
    return data


def check_settings(config: SynthesisConfig) -> None:
    """Raises UserError for settings that can't be run, whatever the data."""
    cli.check(config)
    remedy = "leave it out: the images are measured at the end, and by experiments.evaluate"
    cli.refuse_validation(config.train, remedy)
    train_config.check(replace(config.train, steps=config.train.steps or 1), least_batch=1)


def check_batch(model: GauGANConfig, size: int, layout: Layout) -> None:
    """Raises UserError where batch norm has one value at the start of the generator."""
    if model.generator == "pix2pixhd" or model.norm == "instance" or size > 1:
        return
    if latent_grid(layout.height, layout.width, model.upsampling) == (1, 1):
        problem = f"leaves batch norm one value, where {layout.width} x {layout.height} pixels start from one"
        raise UserError("--train.batch-size", size, problem, "give at least 2, or --model.norm instance")


def steps_per_epoch(config: SynthesisConfig, data: LayoutData) -> int:
    """Updates that see every training pair once; an incomplete last batch is dropped."""
    return max(1, len(data.train) // config.train.batch_size)


def train_limits(config: SynthesisConfig, data: LayoutData) -> TrainConfig:
    """The settings of training, with the steps that the epochs make where --train.steps is 0."""
    if config.train.steps:
        return config.train
    epochs = config.model.epochs + config.model.decay_epochs
    return replace(config.train, steps=epochs * steps_per_epoch(config, data))


def task(
    config: SynthesisConfig, layout: Layout, epoch: int = 1, perceptual: gaugan.Perceptual | None = None
) -> Task:
    """What `fit` trains; `epoch` is the number of updates of an epoch."""
    shared = {"config": config.model, "layout": layout}
    step = partial(gaugan.train_step, **shared, steps_per_epoch=epoch, perceptual=perceptual)
    return Task(partial(gaugan.init_state, **shared), step, partial(generate_one, **shared))


def generate_one(state: GauGANState, config: GauGANConfig, layout: Layout) -> jax.Array:
    """The image of an empty layout, in the style of a black one where there are styles."""
    empty = np.zeros((1, layout.height, layout.width), np.int32)
    black = jnp.zeros((1, layout.height, layout.width, 3), jnp.uint8)
    z = gaugan.encode(state, black, config, layout)[0] if config.vae else None
    batch = {"label": jnp.asarray(empty)} | ({"instance": jnp.asarray(empty)} if layout.instances else {})
    return gaugan.generate(state, batch, z, config, layout)


def synthesisers(config: SynthesisConfig, layout: Layout, state: GauGANState) -> list[Synthesiser]:
    """One per seed of a stacked state."""
    whole = devices.on_one_device(state)
    return [
        Synthesiser(seeds.unstack(whole, i), config.model, layout, config.evaluate.batch_size)
        for i in range(config.seeds)
    ]


def draw_sheet(
    run: RunDirectory, config: SynthesisConfig, data: LayoutData, step: int, state: GauGANState
) -> None:
    """label | fake | real of the first seed on fixed validation layouts, into the run's figures."""
    if jax.process_index() != 0:
        return
    part = data.validation if len(data.validation) else data.train
    batch = part[np.arange(min(SHOWN, len(part)))]
    synthesiser = synthesisers(config, data.layout, state)[0]
    # `fit` calls this while the mesh of all devices is in use.
    with devices.use_mesh(devices.one_device_mesh()):
        z = synthesiser.styles(batch["image"]) if config.model.vae else None
        fake = synthesiser.images(batch, z)
    run.figures.mkdir(exist_ok=True)
    path = run.figures / f"samples_{step:07d}.png"
    sheet(path, batch, fake, data.layout)


def in_words(config: LayoutConfig) -> str:
    """What the data are, for titles."""
    if config.source == "embedded":
        return "rendered scenes"
    what = "layouts" if config.preset == "custom" else config.preset
    if config.source == "packed":
        return of_file(what, config.path)
    return f"{what} of {'/'.join(config.images.parts[-2:])}" if config.images else what


def system_of(name: str, title: str, config: SynthesisConfig, layout: Layout) -> LayoutSystem:
    """The networks of a run on these layouts, with the official names where there are any.

    Raises:
      UserError: there are none for these settings and layouts.
    """
    check(config.model, layout)
    # pix2pixHD's own names are not known here.
    official = Names(partial(export_official, config=config.model), insert_official)
    return LayoutSystem(
        name=name,
        title=title,
        task=task(config, layout),
        config=config,
        limits=config.train,
        names=own() if config.model.generator == "pix2pixhd" else official,
        files=(LAYOUT,),
        layout=layout,
    )


def open_system(run: RunDirectory, path: Path) -> LayoutSystem:
    """The networks of a run, for the commands; `path` is the run as a user named it.

    Raises:
      UserError: it trained something else.
    """
    experiment = experiment_of(run)
    saved = experiment.saved(run)
    if isinstance(saved, SynthesisConfig) and experiment.systems is not None:
        system = experiment.systems(saved, run)[experiment.name]
        if isinstance(system, LayoutSystem):
            return system
    remedy = "give a run of gaugan or dagan"
    raise UserError("RUN_DIR", path, f"is a run of {run.experiment}, which has no layouts", remedy)


def saved_layout(run: RunDirectory) -> Layout:
    """The layout that a run was trained on, without its data.

    Raises:
      UserError: the run is not one of gaugan or dagan, or is damaged.
    """
    remedy = "give a run of gaugan or dagan, or copy that file again"
    record = read_record(run.path / LAYOUT, "RUN_DIR", run.path, remedy)
    layout = Layout(
        classes=record.whole("classes", 1, LARGEST_VALUE + 1),
        dont_care=record.flag("dont_care"),
        instances=record.flag("instances"),
        height=record.whole("height", 1, LARGEST_SIDE),
        width=record.whole("width", 1, LARGEST_SIDE),
        names=tuple(record.texts("names", distinct=False)),
    )
    if layout.names and len(layout.names) != layout.classes:
        raise record.error(f"has {len(layout.names):,} 'names' for {layout.classes:,} classes")
    return layout
