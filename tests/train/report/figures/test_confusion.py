"""Confusion matrices with and without room for names."""

import numpy as np
import pytest

from tests.train.report.figures.test_bands import count
from train.report.figures import confusion
from train.report.figures.canvas import ORANGE


def ticks_of(monkeypatch):
    labels = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.set_yticks", lambda self, ticks, names, **_: labels.extend(names)
    )
    return labels


@pytest.mark.parametrize(("seen", "unseen", "drawn"), [(3, 2, 5), (80, 20, 2)])
def test_names_or_groups_are_written_and_parted(seen, unseen, drawn, tmp_path, monkeypatch):
    labels = ticks_of(monkeypatch)
    names = [f"class {i}" for i in range(seen + unseen)]
    groups = (("seen", seen), ("unseen", unseen))
    path = confusion(tmp_path / "c.png", np.eye(seen + unseen), names, groups)
    assert labels == (names if drawn > 2 else ["seen", "unseen"])
    assert count(path, ORANGE) > 1000


def test_one_group_has_no_line(tmp_path):
    path = confusion(tmp_path / "c.png", np.eye(2), ["a", "b"], (("seen", 0), ("unseen", 2)))
    assert count(path, ORANGE) == 0


def test_groups_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="groups"):
        confusion(tmp_path / "c.png", np.eye(2), ["a", "b"], (("seen", 1), ("unseen", 2)))
