"""Class counts by hand, and of CamVid against its documented frequencies."""

import numpy as np

from train.data.label_config import LayoutConfig, open_layouts
from train.data.label_counts import count_classes
from train.data.layout_parts import Padded
from train.layout import Layout


def test_padding_and_unreadable_examples_do_not_count():
    labels = np.array([[[0, 0], [0, 2]], [[2, 2], [2, 2]], [[1, 1], [1, 1]]])
    batch = Padded({"label": labels}, np.array([True, True, False]), np.arange(3))
    counts = count_classes([batch, batch], Layout(2, True, False, 2, 2, ("sky", "road")))
    assert counts.total == 4
    np.testing.assert_array_equal(counts.pixels, [6, 0, 10])
    np.testing.assert_array_equal(counts.examples, [2, 0, 4])
    assert counts.rows() == [("unknown", 0.625, 4), ("sky", 0.375, 2), ("road", 0.0, 0)]


def test_nothing_to_count():
    assert count_classes([], Layout(2, False, False, 2, 2)).share.tolist() == [0, 0]


def test_camvid(shared):
    """The whole training set, as it is, has the frequencies that its notes state."""
    path = shared / "data" / "semantic" / "camvid_256x192_train.npz"
    size = {"resize_mode": "none", "validation_share": 0.0, "test_share": 0.0}
    data = open_layouts(LayoutConfig(source="packed", path=path, classes=11, dont_care=True, **size))
    counts = count_classes(data.train.batches(40), data.layout)
    assert counts.total == 367 and counts.names[:2] == ("sky", "building") and counts.names[-1] == "unknown"
    documented = [0.169, 0.233, 0.010, 0.317, 0.045, 0.097, 0.012, 0.011, 0.059, 0.006, 0.003, 0.040]
    np.testing.assert_allclose(counts.share, documented, atol=6e-4)
