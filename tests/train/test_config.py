"""Impossible settings are named with a remedy."""

import dataclasses

import pytest

from train.bounds import check_bounds
from train.config import RESUMABLE, TrainConfig, check
from train.errors import UserError


def test_defaults_are_fine():
    check(TrainConfig(), 8)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"steps": 0}, "--train.steps"),
        ({"batch_size": 1}, "--train.batch-size"),
        ({"batch_size": 60}, "--train.batch-size"),
        ({"inner_steps": 0}, "--train.inner-steps"),
        ({"log_every": 0}, "--train.log-every"),
        ({"checkpoint_every": 0}, "--train.checkpoint-every"),
        ({"evaluate_every": -1}, "--train.evaluate-every"),
        ({"patience": -1}, "--train.patience"),
        ({"patience": 1, "evaluate_every": 0}, "--train.patience"),
        ({"ema_decay": 1.0}, "--train.ema-decay"),
    ],
)
def test_each_impossible_setting_is_named(change, flag):
    with pytest.raises(UserError, match=flag):
        check_bounds(dataclasses.replace(TrainConfig(), **change), "--train.")
        check(dataclasses.replace(TrainConfig(), **change), 8)


def test_a_batch_of_one_where_no_loss_compares_examples():
    one = dataclasses.replace(TrainConfig(), batch_size=1)
    check(one, 1, least_batch=1)
    with pytest.raises(UserError, match=r"--train.batch-size = 1: does not divide over 8"):
        check(one, 8, least_batch=1)


def test_resumable_settings_exist():
    names = {f"train.{field.name}" for field in dataclasses.fields(TrainConfig)}
    assert set(RESUMABLE) <= names
