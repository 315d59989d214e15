"""Groups of settings that are one of several classes: chosen by a flag, read back by their tag."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from experiments import cli, unions
from experiments.settings import from_json, to_json
from train.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Base:
    size: int = 1
    rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Plain(Base):
    objective: Literal["plain"] = "plain"
    """Plain."""
    prior: str = "normal"
    critic_rate: float = 1e-4
    """Of something else than that of the other class."""


@dataclass(frozen=True, kw_only=True)
class Weighted(Base):
    objective: Literal["weighted"] = "weighted"
    """Weighted."""
    beta: float = 4.0
    rate: float = 0.5
    critic_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Config(cli.RunConfig):
    model: Plain | Weighted = field(default_factory=Plain)


QUICK = Config(model=Plain(size=7, rate=0.3, prior="neural"))
PRESETS = {"quick": QUICK, "paper": replace(QUICK, preset="paper", model=Plain(size=100))}


def parse(*argv):
    return cli.parse(Config, PRESETS, "toy", "", argv)[0]


def test_the_first_is_what_it_was():
    assert parse().model == QUICK.model
    assert parse("--model.prior", "other").model == replace(QUICK.model, prior="other")


@pytest.mark.parametrize("argv", [("--model.objective", "weighted"), ("--model.objective=weighted",)])
def test_a_flag_chooses_and_what_is_shared_is_the_presets(argv):
    assert parse(*argv).model == Weighted(size=7, rate=0.3)
    assert parse("--preset", "paper", *argv, "--model.beta", "2").model == Weighted(
        size=100, rate=0.1, beta=2
    )


def test_a_reference_is_of_the_class_that_was_chosen():
    config = parse("--model.objective", "weighted", "--model.size", "3")
    assert unions.like(PRESETS["paper"], config).model == Weighted(size=100, rate=0.1)
    assert unions.like(PRESETS["paper"], QUICK).model == Plain(size=100)


def test_of_a_flag_that_is_given_twice_the_last_counts():
    given = ["--model.objective=plain", "--model.objective", "weighted"]
    assert unions.peek(given, "--model.objective") == "weighted" and unions.peek(given, "--preset") is None
    assert isinstance(parse(*given).model, Weighted)


@pytest.mark.parametrize("tail", [["--model.objective"], ["--model.objective", "--model.size", "3"]])
def test_a_flag_without_its_value_is_an_error(tail):
    with pytest.raises((SystemExit, UserError)):
        parse(*tail)


def test_an_unknown_name_is_one_clear_error():
    with pytest.raises(UserError, match=r"--model\.objective = heavy: is unknown; choose plain or weighted"):
        parse("--model.objective", "heavy")


@pytest.mark.parametrize(
    "argv", [("--model.beta", "2"), ("--model.objective", "weighted", "--model.prior", "x")]
)
def test_a_setting_of_another_class_is_unknown(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    assert argv[-2] in capsys.readouterr().err


def test_help_shows_the_chosen_class_alone(capsys):
    with pytest.raises(SystemExit):
        parse("--model.objective", "weighted", "--help")
    said = capsys.readouterr().out
    assert "--model.beta" in said and "--model.size" in said and "--model.prior" not in said


@pytest.mark.parametrize("model", [Plain(prior="x"), Weighted(beta=1)])
def test_saved_and_read_by_the_tag(model):
    assert from_json(Config, to_json(Config(model=model))).model == model


def test_settings_of_other_classes_are_dropped_and_unknown_ones_are_not():
    """Runs kept those of all, before each class had its own."""
    saved = {"objective": "weighted", "size": 2, "prior": "normal", "beta": 3.0}
    assert from_json(Config, {"model": saved}).model == Weighted(size=2, beta=3.0)
    assert from_json(Config, {"model": {"prior": "x", "beta": 3.0}}).model == Plain(prior="x")
    with pytest.raises(UserError, match=r"model\.mass"):
        from_json(Config, {"model": {**saved, "mass": 1}})


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"objective": "heavy"}, "model.objective in config.json = 'heavy': is none of plain, weighted"),
        ({"objective": ["plain"]}, "model.objective in config.json = a list of 1: is none of"),
        ([], "model in config.json = a list of 0: is no group of settings"),
        ({"objective": "weighted", "beta": "x"}, "model.beta in config.json = 'x'"),
    ],
)
def test_what_can_not_be_read(model, told):
    with pytest.raises(UserError) as error:
        from_json(Config, {"model": model})
    assert told in str(error.value)


@pytest.mark.parametrize("hint", [int, int | None, Plain, Plain | None])
def test_other_hints_are_no_unions(hint):
    assert unions.union_of(hint) is None
