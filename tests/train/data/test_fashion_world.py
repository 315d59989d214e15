"""The simulated users of rendered items: deterministic, cold items, taste within categories."""

import numpy as np
import pytest

from train.data import shapes3d
from train.data.fashion_world import _choices, fashion_world, hue_circles

pytestmark = pytest.mark.usefixtures("optimised")


@pytest.fixture(scope="module")
def world():
    return fashion_world(items=128, users=100, seed=0)


def test_world(world):
    assert world.features.shape == (128, 252) and world.users == 100
    assert world.features.min() == 0 and world.features.max() == 1
    shape, size = world.scene[:, 4], world.scene[:, 3]
    np.testing.assert_array_equal(world.categories[:, 0], 2 * shape + (size >= 4))
    names = np.array(world.category_names)[world.categories[:, 0]]
    assert set(names[(shape == 2) & (size == 7)]) == {"large sphere"}
    assert len(np.unique(shapes3d.factors_to_index(world.scene))) == 128
    records = np.diff(world.train.indptr) + 2
    assert records.min() >= 6 and records.max() <= 20 and not any(world.dropped.values())
    assert (world.clicks() < 5).mean() > 0.25


def test_it_is_a_function_of_its_arguments(world):
    again, other = fashion_world(128, 100, 0), fashion_world(128, 100, 1)
    np.testing.assert_array_equal(world.features, again.features)
    for mine, theirs in ((world.train.indices, again.train.indices), (world.test, again.test)):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(world.scene, other.scene)


def test_style_is_on_circles():
    scene = np.asarray([[0, 5, 0, 1, 2, 3], [0, 0, 5, 7, 0, 0]])
    cosines_and_sines = hue_circles(scene)
    np.testing.assert_allclose(cosines_and_sines, [[1, -1, 1, 0, 0, 0], [1, 1, -1, 0, 0, 0]], atol=1e-12)


def test_users_choose_by_taste_and_demand():
    """More alike in style and in category than chance would have it, and never twice the same."""
    rng = np.random.RandomState(0)
    scene = np.stack([rng.randint(0, 10, 600) for _ in range(6)], 1)
    style, categories = hue_circles(scene), rng.randint(0, 8, 600)
    user, item = _choices(np.random.RandomState(1), style, categories, 200)
    assert len(set(zip(user.tolist(), item.tolist(), strict=True))) == len(user)
    by_user = [item[user == u] for u in range(200)]
    alike = np.mean([np.mean(categories[own][:, None] == categories[own]) for own in by_user])
    near = np.mean([np.mean(style[own] @ style[own].T) for own in by_user])
    assert alike > 0.3 and near > 2 * np.mean(style @ style.T) + 0.3
