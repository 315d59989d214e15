"""A share of a ceiling stands only where there is one."""

import numpy as np
import pytest

from experiments.synthesis.tables import NO_SHARE, is_ceiling, segmentation_table
from tests.experiments.synthesis.test_report import LEARNED, measured

IDLE = np.array([[90, 0, 0], [10, 0, 0], [0, 0, 0]])
"""A segmenter that says the background everywhere."""


def test_no_share_of_a_ceiling_that_is_none():
    """Of a segmenter that learned nothing a share of the ceiling would be 1."""
    idle = segmentation_table(measured(False)._replace(real=IDLE, fake=[IDLE]))
    assert idle.columns[1:] == ["generated", "real (ceiling)", "constant", "chance", "share of the ceiling"]
    assert {row[-1] for row in idle.rows} == {NO_SHARE}
    rows = {
        row[0]: row for row in segmentation_table(measured(False)._replace(real=LEARNED, fake=[IDLE])).rows
    }
    _, generated, real, constant, chance, share = rows["pixel accuracy"]
    assert (generated.mean, real, constant) == (0.9, 0.96, 0.9) and chance == pytest.approx(0.9**2 + 0.1**2)
    assert share.mean == pytest.approx(0.9 / 0.96)
    assert rows["mIoU"][3] == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("real", "blind", "wanted"),
    [
        (0.9, 0.9, False),
        (0.905, 0.9, False),
        (0.92, 0.9, True),
        (0.3, 0.4, False),
        (np.nan, np.nan, False),
        (1, 0, True),
    ],
)
def test_what_is_a_ceiling(real, blind, wanted):
    assert is_ceiling(real, blind) == wanted
