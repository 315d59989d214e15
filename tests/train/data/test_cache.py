import os
import pathlib
import resource
import tempfile

import numpy as np
import pytest

from train.data import cache
from train.data.cache import Block, Table
from train.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8)
FACTORS = np.arange(20, dtype=np.int32).reshape(10, 2)


@pytest.fixture
def origin(tmp_path) -> pathlib.Path:
    file = tmp_path / "data.bin"
    file.write_bytes(b"first")
    return file


@pytest.fixture
def large(monkeypatch):
    """Treat any table as too large for memory."""
    monkeypatch.setattr(cache, "IN_MEMORY_BYTES", 0)


class Reader:
    """A table of blocks in reverse order that counts how often it is read."""

    def __init__(self, origin, factor_count=2, images=IMAGES):
        self.reads, self.images = 0, images
        self.table = Table(origin, images.shape, factor_count, self.blocks)

    def blocks(self):
        self.reads += 1
        for start in (8, 4, 0):
            yield Block(start, self.images[start : start + 4], FACTORS[start : start + 4])


def contents(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) if folder.exists() else []


def test_small_tables_stay_in_memory(origin, tmp_path):
    arrays = cache.load(Reader(origin).table, tmp_path / "cache")
    np.testing.assert_array_equal(arrays["image"], IMAGES)
    np.testing.assert_array_equal(arrays["factors"], FACTORS)
    assert not isinstance(arrays["image"], np.memmap) and not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("large")
def test_large_tables_are_read_once_and_mapped(origin, tmp_path):
    reader = Reader(origin)
    for _ in range(2):
        arrays = cache.load(reader.table, tmp_path / "cache")
        assert isinstance(arrays["image"], np.memmap) and not arrays["image"].flags.writeable
        np.testing.assert_array_equal(arrays["image"], IMAGES)
        np.testing.assert_array_equal(arrays["factors"], FACTORS)
    assert reader.reads == 1


@pytest.mark.usefixtures("large")
def test_without_factors(origin, tmp_path):
    assert set(cache.load(Reader(origin, factor_count=0).table, tmp_path / "cache")) == {"image"}


@pytest.mark.usefixtures("large")
def test_a_changed_origin_is_read_anew(origin, tmp_path):
    cache.load(Reader(origin).table, tmp_path / "cache")
    os.utime(origin, ns=(1, 1))
    changed = Reader(origin, images=255 - IMAGES)
    np.testing.assert_array_equal(cache.load(changed.table, tmp_path / "cache")["image"], 255 - IMAGES)
    origin.write_bytes(b"second")
    cache.load(Reader(origin).table, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.usefixtures("large")
def test_a_changed_folder_is_read_anew(tmp_path):
    origin = tmp_path / "prepared"
    origin.mkdir()
    (origin / "shard").write_bytes(b"first")
    reader = Reader(origin)
    cache.load(reader.table, tmp_path / "cache")
    (origin / "shard").write_bytes(b"second")
    cache.load(reader.table, tmp_path / "cache")
    assert reader.reads == 2


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("harm", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:-9])])
def test_a_damaged_cache_is_written_anew(origin, tmp_path, harm):
    reader = Reader(origin)
    cache.load(reader.table, tmp_path / "cache")
    harm(next((tmp_path / "cache").rglob("image.npy")))
    np.testing.assert_array_equal(cache.load(reader.table, tmp_path / "cache")["image"], IMAGES)
    assert reader.reads == 2


@pytest.mark.usefixtures("large")
def test_two_processes_at_once(origin, tmp_path):
    """The one that finishes second uses what the first has written."""
    other = Reader(origin)

    def blocks():
        yield from Reader(origin).blocks()
        cache.load(other.table, tmp_path / "cache")

    arrays = cache.load(Table(origin, IMAGES.shape, 2, blocks), tmp_path / "cache")
    np.testing.assert_array_equal(arrays["image"], IMAGES)
    assert other.reads == 1 and len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.usefixtures("large")
def test_cache_that_cannot_be_written(origin):
    with pytest.raises(UserError, match=r"--data.cache-dir = .*data.bin/below: .*; name a writable folder"):
        cache.load(Reader(origin).table, origin / "below")


@pytest.mark.usefixtures("large")
def test_a_full_disk_leaves_nothing_behind(origin, tmp_path):
    """The size limit of the process makes a write fail halfway, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reader = Reader(origin)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(UserError, match=r"--data.cache-dir") as caught:
            cache.load(reader.table, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError) and reader.reads == 1
    assert contents(tmp_path / "cache") == []


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    "error", [UserError("--data.path", "x", "truncated", "copy it"), KeyboardInterrupt()]
)
def test_an_interrupted_reading_leaves_nothing_behind(origin, tmp_path, error):
    def blocks():
        yield Block(0, IMAGES[:4], FACTORS[:4])
        raise error

    with pytest.raises(type(error)):
        cache.load(Table(origin, IMAGES.shape, 2, blocks), tmp_path / "cache")
    assert contents(tmp_path / "cache") == []


def test_without_a_home_folder_the_cache_is_a_temporary_folder(monkeypatch):
    assert cache.place(pathlib.Path("/a/b")) == pathlib.Path("/a/b")

    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", unknown)
    assert cache.place(pathlib.Path("~/.cache/jaxmodels")).parent == pathlib.Path(tempfile.gettempdir())
