"""The stream of files: every example once an epoch, the same after a kill, corrupted files passed over."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from PIL import Image

from tests.train import toy
from tests.train.data.layout_files import truncate, write_folders
from tests.train.data.test_label_examples import open_files
from train.config import TrainConfig
from train.data import label_stream
from train.data.label_stream import LayoutStream
from train.data.pair_geometry import Geometry
from train.devices import data_mesh
from train.errors import UserError
from train.feed import StatefulFeed, order_keys
from train.loop import fit
from train.run_directory import create_run
from train.seeds import seed_keys

COUNT = 10
INNER = 3


@pytest.fixture(autouse=True)
def read_little_ahead(monkeypatch):
    monkeypatch.setattr(label_stream, "READ_AHEAD", 2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("layouts"), COUNT)


def one_device():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))


def stream(folders, batch_size=4, seeds=1, max_corrupt=2, rows=None, mesh=None) -> LayoutStream:
    mesh = mesh or one_device()
    files = open_files(folders, Geometry("resize_and_crop", 10, 8), max_corrupt)
    rows = np.arange(COUNT) if rows is None else rows
    return LayoutStream(files, rows, batch_size, order_keys(seed_keys(0, seeds)), mesh, INNER)


def steps(feed: LayoutStream, first: int, last: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """The batches of the steps [first, last), asked for in chunks."""
    batches = []
    for start in range(first, last, INNER):
        count = min(INNER, last - start)
        chunk = jax.device_get(feed.chunk(start, count))
        batches += [{key: a[seed, i] for key, a in chunk.items()} for i in range(count)]
    return batches


def numbers(batch: dict[str, np.ndarray]) -> list[int]:
    """Which examples a batch holds: their blue."""
    return batch["image"][:, 0, 0, 2].tolist()


def assert_equal_batches(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_batch_is_as_the_layout_says(folders):
    feed = stream(folders)
    chunk = feed.chunk(0, 2)
    assert chunk["image"].shape == (1, INNER, 4, 8, 8, 3) and chunk["label"].dtype == np.uint8
    own = jax.tree.map(lambda a: a[0], chunk)
    batch = jax.jit(feed.batch)(own, jax.random.key(0), jnp.int32(1), jnp.int32(1))
    assert {key: (a.shape, a.dtype) for key, a in batch.items()} == {
        "label": ((4, 8, 8), np.int32),
        "instance": ((4, 8, 8), np.int32),
        "image": ((4, 8, 8, 3), np.uint8),
    }
    assert numbers(batch) == numbers(steps(stream(folders), 0, 2)[1])
    np.testing.assert_array_equal(batch["instance"] // 1000, batch["image"][..., 2])
    np.testing.assert_array_equal(batch["instance"] % 1000, batch["label"])


def test_an_epoch_has_every_example_at_most_once_and_drops_the_incomplete_batch(folders):
    epochs = [
        np.concatenate([numbers(b) for b in steps(stream(folders), 2 * e, 2 * e + 2)]) for e in range(3)
    ]
    for epoch in epochs:
        assert len(np.unique(epoch)) == 8
    assert not np.array_equal(epochs[0], epochs[1])
    part = np.array([1, 4, 5, 9])
    for batch in steps(stream(folders, rows=part), 0, 3):
        assert sorted(numbers(batch)) == part.tolist()


def test_crops_and_flips_differ_from_epoch_to_epoch(folders):
    first, second = steps(stream(folders, batch_size=COUNT), 0, 2)
    one, other = (b["label"][np.argsort(numbers(b))] for b in (first, second))
    assert (one != other).any(axis=(1, 2)).sum() > COUNT / 2


def test_a_function_of_seed_and_step(folders):
    """However it is asked: in order, from the middle, again."""
    whole, feed = steps(stream(folders), 0, 8), stream(folders)
    assert_equal_batches(steps(feed, 5, 8), whole[5:])
    assert_equal_batches(steps(feed, 0, 3), whole[:3])


def test_each_seed_has_its_own_order(folders):
    feed = stream(folders, seeds=2)
    one, other = steps(feed, 0, 2, seed=0), steps(feed, 0, 2, seed=1)
    assert [numbers(b) for b in one] != [numbers(b) for b in other]
    assert_equal_batches(one, steps(stream(folders), 0, 2))


def test_killed_and_resumed_is_the_uninterrupted_stream(folders):
    whole, feed = steps(stream(folders), 0, 9), stream(folders)
    assert isinstance(feed, StatefulFeed)
    steps(feed, 0, 4)
    state = json.loads(json.dumps(feed.state()))
    assert state == {"iterators": [{"next_index": 4}], "corrupt": []}
    resumed = stream(folders)
    resumed.restore(state)
    assert resumed.state() == state
    assert_equal_batches(steps(resumed, 4, 9), whole[4:])
    with pytest.raises(UserError, match=r"--seeds = 2: the checkpoint holds the streams of 1 seeds"):
        stream(folders, seeds=2).restore(state)


def test_batches_are_divided_over_the_devices(folders):
    mesh = data_mesh()
    if 8 % mesh.size:
        pytest.skip("needs 1, 2, 4 or 8 devices")
    feed = stream(folders, batch_size=8, mesh=mesh)
    chunk = feed.chunk(0, 1)
    assert chunk["image"].addressable_shards[0].data.shape == (1, INNER, 8 // mesh.size, 8, 8, 3)
    one = steps(stream(folders, batch_size=8), 0, 1)[0]
    np.testing.assert_array_equal(chunk["image"][0, 0], one["image"])


def test_several_processes_share_the_same_batches(folders, monkeypatch):
    """Each reads its part of every batch; together they have the examples, crops and flips of one process."""
    whole = next(iter(stream(folders)._pipeline(4, 5)))
    monkeypatch.setattr(label_stream.jax, "process_count", lambda: 2)
    parts = []
    for process in range(2):
        monkeypatch.setattr(label_stream.jax, "process_index", lambda process=process: process)
        parts.append(next(iter(stream(folders)._pipeline(4, 5))))
    for key, expected in whole.items():
        np.testing.assert_array_equal(np.stack([p[key] for p in parts], 1).reshape(expected.shape), expected)
    with pytest.raises(UserError, match=r"--train.batch-size = 3: does not divide over the processes"):
        stream(folders, batch_size=3)


@pytest.fixture
def damaged(tmp_path):
    """Ten examples of which the fifth, a JPEG, and the sixth can't be read."""
    folders = write_folders(tmp_path, COUNT)
    photo = folders["images"] / "view4.png"
    with Image.open(photo) as image:
        image.save(photo.with_suffix(".jpg"))
    photo.unlink()
    truncate(photo.with_suffix(".jpg"))
    truncate(folders["labels"] / "view5.png")
    return folders


def test_the_next_readable_example_takes_the_place_of_a_corrupted_one(folders, damaged):
    whole, feed = steps(stream(folders), 0, 8), stream(damaged)
    for sound, batch in zip(whole, steps(feed, 0, 8), strict=True):
        assert numbers(batch) == [6 if n in (4, 5) else n for n in numbers(sound)]
        kept = ~np.isin(numbers(sound), (4, 5))
        np.testing.assert_array_equal(batch["label"][kept], sound["label"][kept])
    names = [name.rpartition("/")[2] for name in feed.state()["corrupt"]]
    assert sorted(names) == ["view4.jpg", "view5.png"]


def test_corrupted_files_are_counted_as_their_batches_are_used(damaged):
    """Not as threads happen to read ahead; so the count is the same after a kill."""
    counts, feed = [], stream(damaged)
    for step in range(6):
        steps(feed, step, step + 1)
        counts.append(len(feed.state()["corrupt"]))
    assert counts[-1] == 2 and counts == sorted(counts)
    again = stream(damaged)
    steps(again, 0, 2)
    resumed = stream(damaged)
    resumed.restore(again.state())
    steps(resumed, 2, 3)
    assert len(resumed.state()["corrupt"]) == counts[2]


def test_fit_saves_and_restores_where_the_stream_is(damaged, tmp_path):
    """Position and corrupted files of a run in two pieces are those of an undivided stream."""
    run = create_run("toy", {}, tmp_path / "run")
    config = TrainConfig(batch_size=4, inner_steps=INNER, evaluate_every=0)
    for steps_done in (4, 7):
        feed = stream(damaged)
        until = dataclasses.replace(config, steps=steps_done)
        fit(toy.TASK, feed, None, seed_keys(0, 1), until, run, one_device())
    whole = stream(damaged)
    steps(whole, 0, 7)
    assert feed.state() == whole.state() and feed.state()["iterators"] == [{"next_index": 7}]


def test_more_corrupted_files_than_may_be_left_out(damaged):
    with pytest.raises(UserError, match=r"--data.max-corrupt = 1: 2 files can't be read"):
        steps(stream(damaged, max_corrupt=1), 0, 6)


def test_no_readable_example_at_all(damaged):
    with pytest.raises(UserError, match=r"--data.images = images: no example can be read"):
        steps(stream(damaged, batch_size=1, rows=np.array([4, 5]), max_corrupt=8), 0, 1)


def test_fewer_examples_than_a_batch(folders):
    with pytest.raises(UserError, match=r"--train.batch-size = 11: there are 10 training examples"):
        stream(folders, batch_size=11)


def test_a_wrong_value_ends_the_run_by_name(tmp_path):
    folders = write_folders(tmp_path, COUNT, classes=5)
    with pytest.raises(UserError, match=r"--data.labels = 4: .*view\d.png holds the value 4"):
        steps(stream(folders), 0, 1)
