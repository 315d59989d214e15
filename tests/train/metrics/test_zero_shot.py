import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.metrics.zero_shot import confusion_matrix, harmonic_mean, per_class_accuracy

CLASSES = np.array([1, 3, 4])


def example(seed=0, count=60):
    """Predictions that are right three times in four, over five classes."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(5), rng.integers(5, size=count - 5)])
    return np.where(rng.random(count) < 0.75, labels, rng.integers(5, size=count)), labels


def loop(predictions, labels, classes, where) -> np.ndarray:
    """The confusion matrix, counted one example at a time."""
    matrix = np.zeros((len(classes), len(classes)))
    for i, true in enumerate(classes):
        own = [n for n in range(len(labels)) if labels[n] == true and where[n]]
        for j, predicted in enumerate(classes):
            matrix[i, j] = sum(predictions[n] == predicted for n in own) / max(1, len(own))
    return matrix


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_loop(seed):
    predictions, labels = example(seed)
    where = np.random.default_rng(seed).random(len(labels)) < 0.8
    where[:5] = True
    for mask in (np.ones_like(where), where):
        wanted = loop(predictions, labels, CLASSES, mask)
        given_mask = None if mask.all() else mask
        matrix = confusion_matrix(predictions, labels, CLASSES, given_mask)
        np.testing.assert_allclose(matrix, wanted, rtol=1e-6)
        accuracy = per_class_accuracy(predictions, labels, CLASSES, given_mask)
        np.testing.assert_allclose(accuracy, np.diag(wanted).mean(), rtol=1e-6)


def test_equals_the_official_numbers(shared):
    with np.load(shared / "parity" / "cada_cls.npz", allow_pickle=False) as golden:
        predict = lambda z: (z @ golden["m_kernel_oi"].T + golden["m_bias"]).argmax(axis=1)  # noqa: E731
        s = per_class_accuracy(predict(golden["zs"]), golden["ys"], golden["seen"])
        u = per_class_accuracy(predict(golden["zu"]), golden["yu"], golden["unseen"])
        np.testing.assert_allclose((s, u, harmonic_mean(s, u)), [golden[k] for k in "SUH"], rtol=1e-6)


def test_classes_count_alike_whatever_their_size():
    labels = np.array([0] * 9 + [1])
    assert per_class_accuracy(np.zeros(10, int), labels, np.array([0, 1])) == 0.5
    assert per_class_accuracy(np.zeros(10, int), labels, np.array([0])) == 1


def test_a_class_without_examples():
    predictions, labels = example()
    assert np.isnan(per_class_accuracy(predictions, labels, np.array([1, 7])))
    matrix = np.asarray(confusion_matrix(predictions, labels, np.array([1, 7])))
    assert (matrix[1] == 0).all() and matrix[0, 0] > 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_order_and_padding_do_not_matter(seed):
    predictions, labels = example(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    wanted = per_class_accuracy(predictions, labels, CLASSES)
    shuffled = per_class_accuracy(predictions[order], labels[order], CLASSES[::-1])
    np.testing.assert_allclose(shuffled, wanted, rtol=1e-6)
    padded = [np.concatenate([a, np.zeros(7, int)]) for a in (predictions, labels)]
    where = np.arange(len(padded[0])) < len(labels)
    classes = np.array([0, *CLASSES])
    wanted = per_class_accuracy(predictions, labels, classes)
    np.testing.assert_array_equal(per_class_accuracy(*padded, classes, where), wanted)


def test_rows_of_all_classes_sum_to_one():
    matrix = confusion_matrix(*example(), np.arange(5))
    np.testing.assert_allclose(np.asarray(matrix).sum(axis=1), 1, rtol=1e-6)


def test_harmonic_mean():
    s, u = np.array([0.5, 0, 1, 0, 0.3]), np.array([0.5, 0, 1, 1, 0.6])
    np.testing.assert_allclose(harmonic_mean(s, u), [0.5, 0, 1, 0, 0.4], rtol=1e-6)
    assert harmonic_mean(0.0, 0.0) == 0
    assert np.isnan(harmonic_mean(np.nan, 0.5))


def test_vmap_over_seeds_and_traced_classes():
    pairs = [example(seed) for seed in range(4)]
    predictions, labels = (jnp.asarray(np.stack(part)) for part in zip(*pairs, strict=True))
    stacked = jax.jit(jax.vmap(per_class_accuracy, in_axes=(0, 0, None)))(predictions, labels, CLASSES)
    single = [per_class_accuracy(*pair, CLASSES) for pair in pairs]
    np.testing.assert_allclose(stacked, single, rtol=1e-6)


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_accuracy(self):
        predictions, labels = example()
        found = self.variant(per_class_accuracy)(predictions, labels, CLASSES)
        chex.assert_shape(found, ())
        chex.assert_type(found, jnp.float32)
        wanted = np.diag(loop(predictions, labels, CLASSES, np.ones(60, bool))).mean()
        np.testing.assert_allclose(found, wanted, rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_confusion(self):
        predictions, labels = example()
        found = self.variant(confusion_matrix)(predictions, labels, CLASSES)
        wanted = loop(predictions, labels, CLASSES, np.ones(60, bool))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)

    @chex.variants(with_jit=True, without_jit=True)
    def test_harmonic(self):
        chex.assert_trees_all_close(self.variant(harmonic_mean)(0.2, 0.6), 0.3, rtol=1e-6)
