"""The benchmark of an update: both forms, and the parts of one."""

import pytest

from experiments import benchmark
from experiments.synthesis.speed import GauGANSpeed, gaugan_table
from tests.experiments.commands import said_on_failure
from tests.train.steps.small_generator import small_generators
from train.errors import UserError
from train.steps.gaugan_networks import GauGANConfig

TINY = GauGANConfig(width=1, discriminator_width=1, discriminators=1, kernel=1)


@pytest.mark.slow
def test_every_program_has_a_time():
    with small_generators():
        table = gaugan_table(GauGANSpeed(size=32, classes=2, repeats=1, model=TINY))
    assert [row[0] for row in table.rows] == [
        *("this library", "plain lax convolutions", "generator forward"),
        *("generator forward and back", "discriminator forward and back"),
    ]
    assert table.rows[0][-1] == 1 and all(row[1] > 0 for row in table.rows)


def test_size_has_to_fit():
    with pytest.raises(UserError, match=r"--model\.upsampling"):
        gaugan_table(GauGANSpeed(size=40, model=TINY))


def test_command_refuses_it_too(monkeypatch, capsys):
    said = said_on_failure(benchmark.main, ["gaugan", "--classes", "1"], monkeypatch, capsys)
    assert "--classes" in said
