"""Batches are a function of (seed, step), the same from device and host."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.train import toy
from train.devices import data_mesh, use_mesh
from train.feed import DeviceFeed, HostFeed, make_feed, order_keys
from train.seeds import seed_keys

ROWS = np.arange(80, dtype=np.int32)


def batches(feed, seeds, step, count):
    chunk = feed.chunk(step, count)

    @jax.jit
    def one(own, seed, i):
        key = order_keys(seed_keys(0, seeds))[seed]
        return feed.batch(own, key, step + i, i)["image"]

    def own(seed):
        return jax.tree.map(lambda a: a[seed], chunk) if feed.per_seed else chunk

    return np.asarray(
        [[one(own(s), jnp.asarray(s), jnp.asarray(i)) for i in range(count)] for s in range(seeds)]
    )


def test_host_and_device_feed_the_same_batches():
    mesh, source, keys = data_mesh(), toy.source(), seed_keys(0, 2)
    device = make_feed(source, ROWS, 8, keys, mesh, 3, 10**9)
    host = make_feed(source, ROWS, 8, keys, mesh, 3, 0)
    assert isinstance(device, DeviceFeed) and isinstance(host, HostFeed)
    with use_mesh(mesh):
        np.testing.assert_array_equal(batches(device, 2, 9, 3), batches(host, 2, 9, 3))


def test_an_epoch_holds_every_training_row_once_and_seeds_differ():
    mesh, source = data_mesh(), toy.source()
    feed = make_feed(source, ROWS, 8, seed_keys(0, 2), mesh, 1, 10**9)
    drawn = batches(feed, 2, 0, 10).reshape(2, 80, -1)
    expected = np.sort(source[ROWS]["image"].reshape(80, -1), axis=0)
    for seed in range(2):
        np.testing.assert_array_equal(np.sort(drawn[seed], axis=0), expected)
    assert not np.array_equal(drawn[0], drawn[1])


def test_subsets_hold_no_row_twice_and_are_drawn_anew_each_step():
    mesh, source = data_mesh(), toy.source()
    feed = DeviceFeed.place(source, ROWS, 40, mesh, order="subsets")
    drawn = batches(feed, 2, 3, 4).reshape(2, 4, 40, -1)
    for subset in drawn.reshape(8, 40, -1):
        assert len(np.unique(subset, axis=0)) == 40
    # Two epochs' batches of half the rows would never overlap; subsets of consecutive steps do.
    first, second = (set(map(tuple, subset)) for subset in drawn[0, :2])
    assert 0 < len(first & second) < 40
    np.testing.assert_array_equal(drawn, batches(feed, 2, 3, 4).reshape(drawn.shape))
