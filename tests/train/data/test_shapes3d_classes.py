import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data import shapes3d
from train.data.shapes3d_classes import (
    FEATURES,
    HUES,
    SHAPES,
    _factors,
    attributes,
    feature_map,
    shapes3d_classes,
)
from train.data.source import ProceduralShapes3D
from train.data.zero_shot import check, few_shot, scale, validation_task
from train.metrics.zero_shot_baselines import ridge_to_attributes, supervised_reference

pytestmark = pytest.mark.usefixtures("optimised")
PINNED_MEAN, PINNED = 0.40385, [0.0, 0.58265, 0.21947]


@pytest.fixture(scope="module")
def data():
    return shapes3d_classes(images_per_class=40)


def test_layout(data):
    check(data, data.name)
    assert data.features.shape == (1600, FEATURES) and data.features.dtype == np.float32
    assert [len(rows) for rows in (data.trainval, data.test_seen, data.test_unseen)] == [960, 240, 400]
    assert (np.bincount(data.labels) == 40).all()
    assert (np.bincount(data.labels[data.trainval])[data.seen] == 32).all()
    assert len(set(data.class_names)) == 40 and data.class_names[5] == "orange cylinder"
    every = np.concatenate([data.trainval, data.test_seen, data.test_unseen])
    np.testing.assert_array_equal(np.sort(every), np.arange(1600))


@pytest.mark.parametrize("classes", ["unseen", "validation_classes"])
def test_every_hue_and_shape_is_seen(data, classes):
    """So it is in the benchmark, and when the validation classes are set aside as well."""
    left = np.setdiff1d(data.seen, [] if classes == "unseen" else data.validation_classes)
    hues, shapes = np.divmod(left, len(SHAPES))
    assert (np.bincount(hues, minlength=len(HUES)) >= 2).all()
    assert (np.bincount(shapes, minlength=len(SHAPES)) >= 5).all()
    assert len(data.unseen) == 10 and set(data.validation_classes) < set(data.seen)


def test_unseen_classes_differ_in_shape_too(data):
    hues, shapes = np.divmod(data.unseen, len(SHAPES))
    assert (np.unique(hues, return_counts=True)[1] == 2).all() and set(shapes) == set(range(4))


def test_attributes_describe_the_class(data):
    table = data.attributes["attributes"]
    assert table.shape == (40, 9) and table.dtype == np.float32
    assert len(np.unique(table, axis=0)) == 40
    np.testing.assert_array_equal(table[:, :4].argmax(axis=1), np.arange(40) % 4)
    np.testing.assert_allclose((table[:, 4:6] ** 2).sum(axis=1), 1, rtol=1e-6)
    base = np.round(255 * table[:, 6:]).astype(int)
    np.testing.assert_array_equal(base[::4], shapes3d._PALETTE)


def test_images_belong_to_their_class_and_differ_in_all_else():
    labels = np.repeat(np.arange(40), 20)
    factors = _factors(labels, seed=0)
    np.testing.assert_array_equal(factors[:, 2] * 4 + factors[:, 4], labels)
    assert len(np.unique(factors[:, [0, 1, 3, 5]], axis=0)) == len(labels)
    for place in (0, 1, 3, 5):
        assert len(np.unique(factors[:, place])) == shapes3d.FACTOR_SIZES[place]
    assert (_factors(labels, seed=1) != factors).any()


def test_features_equal_a_loop():
    """The network in NumPy, position by position."""
    random = np.random.RandomState(0)
    first = random.randn(1, 1, 3, 24) * np.sqrt(2 / 3), 0.1 * random.randn(24)
    second = random.randn(5, 5, 24, 28) * np.sqrt(2 / 600), 0.1 * random.randn(28)
    image = ProceduralShapes3D()[np.array([123_456])]["image"]
    x = image[0, 23:57, 15:49] / 127.5 - 1
    x = np.maximum(x @ first[0][0, 0] + first[1], 0)
    y = np.zeros((15, 15, 28))
    for i in range(15):
        for j in range(15):
            patch = x[2 * i : 2 * i + 5, 2 * j : 2 * j + 5]
            y[i, j] = np.maximum(np.tensordot(patch, second[0], 3) + second[1], 0)
    cells = [y[5 * i : 5 * i + 5, 5 * j : 5 * j + 5].mean((0, 1)) for i in range(3) for j in range(3)]
    np.testing.assert_allclose(jax.jit(feature_map)(jnp.asarray(image))[0], np.concatenate(cells), atol=1e-5)


def test_features_do_not_depend_on_the_batch(data):
    rows = np.array([3, 700, 1599])
    factors = _factors(data.labels, seed=0)[rows]
    images = ProceduralShapes3D()[shapes3d.factors_to_index(factors)]["image"]
    np.testing.assert_allclose(jax.jit(feature_map)(jnp.asarray(images)), data.features[rows], atol=1e-5)


def test_pinned(data):
    """The data of published runs: these numbers may never change."""
    assert (data.features >= 0).all()
    np.testing.assert_allclose(data.features.mean(), PINNED_MEAN, rtol=1e-4)
    np.testing.assert_allclose(data.features[[0, 800, 1599], [0, 100, 251]], PINNED, atol=1e-3)


def test_seeds_change_images_only(data):
    one, two = (shapes3d_classes(images_per_class=5, seed=seed) for seed in (0, 1))
    assert np.abs(one.features - two.features).max() > 0.1
    np.testing.assert_array_equal(one.trainval, two.trainval)
    np.testing.assert_array_equal(attributes(), data.attributes["attributes"])


def test_baselines_find_the_usual_seen_bias(data):
    """Classes can be told apart; ridge regression is above chance, and mistakes unseen for seen."""
    scaled = scale(data)
    arrays = scaled.features, scaled.labels
    rows = scaled.trainval, scaled.test_seen, scaled.test_unseen
    assert supervised_reference(*arrays, *rows).harmonic > 0.9
    ridge = ridge_to_attributes(*arrays, attributes(), *rows)
    assert ridge.zero_shot > 0.5 and ridge.seen - ridge.unseen > 0.25


def test_protocol(data):
    task = validation_task(data)
    np.testing.assert_array_equal(task.unseen, data.validation_classes)
    rest, support = few_shot(task, 10, seed=0)
    assert len(support) == 80 and len(rest.test_unseen) == 8 * 22


@pytest.mark.parametrize("count", [4, 301])
def test_bad_sizes(count):
    with pytest.raises(ValueError, match="must lie in"):
        shapes3d_classes(count)
