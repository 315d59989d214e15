"""Parts in order: padded, masked, cut short; and the feeds of both kinds of data."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.train.data.layout_files import truncate, write_folders
from tests.train.data.test_label_examples import open_files
from train.data import shapes3d
from train.data.label_stream import LayoutStream
from train.data.layout_parts import LayoutPart, files_data, world_data
from train.data.layout_world import LayoutWorld
from train.feed import DeviceFeed
from train.seeds import seed_keys


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folders = write_folders(tmp_path_factory.mktemp("layouts"), 7)
    truncate(folders["images"] / "view3.png")
    return open_files(folders)


def test_in_order_with_the_last_batch_padded(files):
    part = LayoutPart(files, np.array([1, 2, 3, 5, 6]))
    batches = list(part.batches(3))
    assert len(part) == 5 and [b.rows.tolist() for b in batches] == [[1, 2, 3], [5, 6, 6]]
    assert [b.mask.tolist() for b in batches] == [[True, True, False], [True, True, False]]
    for padded in batches:
        blue = padded.batch["image"][:, 0, 0, 2]
        np.testing.assert_array_equal(blue[padded.mask], padded.rows[padded.mask])
        assert padded.batch["label"].shape == (3, 16, 16)


def test_a_limit(files):
    part = LayoutPart(files, np.arange(7))
    assert [b.rows.tolist() for b in part.batches(4, limit=5)] == [[0, 1, 2, 3], [4, 4, 4, 4]]
    assert list(LayoutPart(files, np.arange(0)).batches(4)) == []


def test_chosen_examples(files):
    part = LayoutPart(files, np.array([6, 5, 4]))
    assert part[np.array([2, 0])]["image"][:, 0, 0, 2].tolist() == [4, 6]


def test_the_world():
    data, mesh = world_data(LayoutWorld(16)), jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    assert data.name == "shapes3d-procedural-layouts" and data.layout.channels == 8
    assert [len(part) for part in (data.train, data.validation, data.test)] == [384_000, 48_000, 48_000]
    padded = next(data.test.batches(4, limit=3))
    assert padded.mask.tolist() == [True, True, True, False]
    assert padded.batch["image"].shape == (4, 16, 16, 3)
    hues = shapes3d.index_to_factors(data.test.rows[:3])[:, :3]
    assert hues.shape == (3, 3) and data.corrupt.names == ()
    feed = data.feed(8, seed_keys(0, 1), mesh, 5)
    assert isinstance(feed, DeviceFeed) and not feed.per_seed and len(feed.rows) == 384_000


def test_files_are_streamed(files):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    parts = [LayoutPart(files, np.array(rows)) for rows in ([0, 1, 2, 4], [5], [6])]
    data = files_data(files, *parts)
    feed = data.feed(2, seed_keys(0, 1), mesh, 2)
    assert isinstance(feed, LayoutStream)
    seen = np.asarray(feed.chunk(0, 2)["image"])[..., 0, 0, 2]
    assert sorted(seen.ravel().tolist()) == [0, 1, 2, 4]
