"""What is timed are programs of the same updates."""

import chex

from experiments.information.speed import MISpeed, mi_programs, mi_table
from train.steps import mi_estimators


def test_both_forms_of_an_estimator_make_the_same_updates():
    config = MISpeed(estimators=("club/CLUB", "poole/TNCE"), batch_size=4, dim=2, updates=3, repeats=1)
    programs = mi_programs(config, mi_estimators.Conditional(bound="club", hidden=(2,)))
    (scanned, metrics), (single, last) = (program() for program in programs.values())
    assert int(scanned.step) == int(single.step) == 3
    chex.assert_trees_all_close((scanned.params, metrics), (single.params, last), rtol=1e-4, atol=1e-6)
    table = mi_table(config)
    assert [row[0] for row in table.rows] == ["club/CLUB", "poole/TNCE"]
    assert all(number > 0 for row in table.rows for number in row[1:])
