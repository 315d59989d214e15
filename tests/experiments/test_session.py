"""A session on a toy experiment: trains, reports with what every page has, and replays from the checkpoints."""

import json
import sys
from dataclasses import dataclass, field, replace

import flax.struct
import jax
import jax.numpy as jnp
import pytest

from experiments import cli
from experiments.experiment import About, Experiment
from experiments.session import Findings, Session, command_of, replay
from train.config import TrainConfig
from train.data.standard_normal import StandardNormal
from train.errors import UserError
from train.report.report import Section
from train.run_directory import open_run
from train.task import Task


class State(flax.struct.PyTreeNode):
    step: jax.Array
    params: jax.Array
    key: jax.Array


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    times: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    rate: float = 0.5
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=4, evaluate_every=0, inner_steps=1, checkpoint_every=2)
    )
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


TRAININGS = []


def task(config):
    def train_step(state, batch):
        return state.replace(step=state.step + 1, params=state.params * config.rate), {"loss": state.params}

    def init(key):
        return State(jnp.zeros((), jnp.int32), jnp.ones(()), key)

    return Task(init, train_step, use=lambda state: state.params)


def flow(session, config):
    if config.rate > 1:
        raise UserError("--rate", config.rate, "diverges", "give at most 1")
    session.begin()

    def feed(mesh):
        TRAININGS.append(mesh)
        return StandardNormal((2,))

    trained = session.fit(task(config), feed, None, config.train)
    value = config.evaluate.times * float(trained.state("last").params[0])
    session.keep("kept.json", {"rate": config.rate})
    session.report(
        lambda run: Findings(
            title="A toy", summary=["It shrank."], sections=[Section("None")], results={"value": value}
        )
    )


EXPERIMENT = Experiment(
    about=About(
        "gwae_3dshapes", "none", "none", "none"
    ),  # a name that there is, so that the run can be opened
    doc="A toy.",
    presets={"quick": Config(rate=0.25), "paper": Config(preset="paper")},
    flow=flow,
    check=cli.check,
    changeable=lambda config: ("train.steps", "evaluate", "preset"),
)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")
    monkeypatch.setattr(sys, "argv", ["/somewhere/toy.py", "--models", "a b"])
    TRAININGS.clear()
    command_of(EXPERIMENT)(["--run-dir", str(tmp_path / "run")])
    return tmp_path / "run"


def value(folder):
    return json.loads((folder / "results.json").read_text())["value"]


def test_a_page_has_run_command_environment_and_departures(trained):
    page = (trained / "report.html").read_text()
    assert value(trained) == 0.25**4
    assert f">{trained}<" in page and "&#x27;a b&#x27;" in page and "jaxlib" in page
    assert "What differs from the published setting" in page and ">rate<" in page


def test_replay_measures_the_checkpoint_and_trains_nothing(trained):
    (trained / "kept.json").write_text("as it is")
    run = open_run(trained)
    replay(EXPERIMENT, run, replace(EXPERIMENT.saved(run), evaluate=EvaluateConfig(times=2.0)))
    assert value(trained) == 2 * 0.25**4 and len(TRAININGS) == 1
    assert (trained / "kept.json").read_text() == "as it is"


def test_a_resumed_run_goes_on(trained):
    command_of(EXPERIMENT)(["--resume", str(trained), "--train.steps", "6"])
    assert value(trained) == 0.25**6 and len(TRAININGS) == 2
    with pytest.raises(UserError, match=r"rate was 0\.25 and is now 0\.5"):
        command_of(EXPERIMENT)(["--resume", str(trained), "--rate", "0.5"])


def test_what_fails_before_the_run_begins_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="diverges"):
        command_of(EXPERIMENT)(["--run-dir", str(tmp_path / "run"), "--rate", "2"])
    assert not (tmp_path / "run").exists()


def test_a_run_has_no_folder_before_it_begins():
    new = Session(EXPERIMENT, Config(), EXPERIMENT.mesh(Config()), replays=False, opened=None)
    with pytest.raises(RuntimeError, match="has not begun"):
        _ = new.run


def test_presets_depart_from_the_first_published_one():
    several = replace(
        EXPERIMENT, published=("paper", "other"), presets={**EXPERIMENT.presets, "other": Config()}
    )
    chosen = {name: several.reference(replace(Config(), preset=name)) for name in ("quick", "paper", "other")}
    assert chosen["quick"] == chosen["paper"] == several.presets["paper"]
    assert chosen["other"] == several.presets["other"]
