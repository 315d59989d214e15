"""Resuming with other settings."""

import json

import pytest

from train.errors import UserError
from train.resume import check_resume

CONFIG = {"train": {"batch_size": 64, "steps": 100, "betas": (0.0, 0.9)}, "model": {"latent_dim": 10}}


def changed(**train: object) -> dict:
    return {**CONFIG, "train": {**CONFIG["train"], **train}}


def test_the_same_settings_resume():
    check_resume(json.loads(json.dumps(CONFIG)), CONFIG, ())


@pytest.mark.parametrize("changeable", [["train.steps"], ["train"]])
def test_what_may_change_may_change(changeable: list[str]):
    check_resume(CONFIG, changed(steps=200), changeable)


def test_what_may_not_change_is_told_with_all_changes():
    with pytest.raises(UserError) as error:
        check_resume(CONFIG, changed(steps=200, batch_size=32), {"train.steps", "train.step"})
    assert str(error.value) == (
        "--train.batch-size = 32: the run to resume has other settings: "
        "train.batch_size was 64 and is now 32 (may not change); "
        "train.steps was 100 and is now 200 (may change); "
        "leave these out or start a new run; what may change: train.step, train.steps"
    )


def test_a_name_that_merely_begins_alike_may_not_change():
    with pytest.raises(UserError, match=r"train\.steps was 100 and is now 1 \(may not change\)"):
        check_resume(CONFIG, changed(steps=1), ["train.step"])


@pytest.mark.parametrize("swap", [False, True])
def test_fields_of_another_version_are_told(swap: bool):
    pair = (CONFIG, changed(ema=0.9))
    with pytest.raises(UserError, match=r"train\.ema was .*absent"):
        check_resume(*(pair[::-1] if swap else pair), ())
