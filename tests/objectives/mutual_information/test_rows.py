"""Scores in blocks: the values and gradients of whole ones, in memory that grows with K, on one device and eight."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from objectives.mutual_information import lower, upper
from objectives.mutual_information.conditional import gaussian_scores
from objectives.mutual_information.rows import ScoreBlocks, over_rows
from tests.objectives.mutual_information.bounds import BOUNDS
from train.devices import across_devices, data_mesh, replicated, split, use_mesh

SIZE, FEATURES = 24, 3
KEYS = jax.random.split(jax.random.key(0), 4)
X, Y = jax.random.normal(KEYS[0], (2, SIZE, FEATURES))
PARAMS = jax.random.normal(KEYS[1], (FEATURES, FEATURES))
BASELINE = jax.random.normal(KEYS[2], (SIZE,))
# Blocks have no transpose: u and v change places instead.
ON_BLOCKS = [bound for name, bound in BOUNDS.items() if name != "infonce_axis0"]
WEIGHTS = jnp.asarray(np.random.default_rng(0).random(len(ON_BLOCKS)), jnp.float32)


def bilinear(params, u, v):
    return v @ params @ u.T


@functools.cache
def value_and_gradients(block=None):
    """All bounds of y^T W x, and the gradient of a weighted sum of them with respect to W, x and y.

    With `block` the critic closes over its parameters.
    """

    def scores_of(params, x, y):
        if block is None:
            return bilinear(params, x, y)
        return ScoreBlocks(lambda u, v: bilinear(params, u, v), x, y, block)

    def weighted(params, x, y, baseline):
        scores = scores_of(params, x, y)
        values = jnp.stack([bound(scores, baseline) for bound in ON_BLOCKS])
        return values @ WEIGHTS, values

    return jax.jit(jax.value_and_grad(weighted, (0, 1, 2), has_aux=True))


@pytest.fixture(scope="module")
def whole():
    return value_and_gradients()(PARAMS, X, Y, BASELINE)


def test_blocks_give_the_values_and_gradients_of_the_whole(whole):
    """With respect to what the critic closes over, u and v."""
    blocks = value_and_gradients(8)(PARAMS, X, Y, BASELINE)
    chex.assert_trees_all_close(blocks, whole, rtol=2e-5, atol=2e-6)


class Variants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_rows_come_back_in_order(self):
        for block in (1, 8, SIZE):

            def values(x, y, block=block):
                scores = ScoreBlocks(lambda u, v: v @ u.T, x, y, block)
                return over_rows(lambda *row: row, scores, BASELINE)

            s, own, b = self.variant(values)(X, Y)
            np.testing.assert_allclose(s, Y @ X.T, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(own, np.eye(SIZE))
            np.testing.assert_array_equal(b, BASELINE)


def test_trees_on_either_side():
    """A Gaussian conditional: u is (mu, logvar)."""
    y, mu, logvar = jax.random.normal(KEYS[3], (3, 8, 2))
    scores = ScoreBlocks(lambda u, v: gaussian_scores(v, *u), (mu, logvar), y, 4)
    whole = upper.leave_one_out(gaussian_scores(y, mu, logvar))
    np.testing.assert_allclose(upper.leave_one_out(scores), whole, rtol=1e-5)
    np.testing.assert_allclose(upper.club(scores), upper.vclub(y, mu, logvar), rtol=1e-4)


@pytest.mark.parametrize("block", [0, 5, 48])
def test_block_divides_the_batch(block):
    with pytest.raises(ValueError, match=f"block {block} does not divide the {SIZE} rows"):
        lower.dv(ScoreBlocks(lambda u, v: v @ u.T, X, Y, block))


def test_a_batch_of_one_in_blocks():
    with pytest.raises(ValueError, match="at least two"):
        lower.dv(ScoreBlocks(lambda u, v: v @ u.T, X[:1], Y[:1], 1))


def temporary_memory(size, bound):
    """Bytes of a compiled gradient with 32 features in blocks of 64 rows."""
    shape = jax.ShapeDtypeStruct((size, 32), jnp.float32)

    def loss(u, v):
        return bound(ScoreBlocks(lambda u, v: v @ u.T, u, v, 64))

    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(shape, shape).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("name", ["infonce_axis1", "js_paper", "interp_logit+0", "club"])
def test_memory_of_a_batch_of_65536_is_linear(name):
    """17 GB of scores, value and gradient in 1/40 of it, and twice the batch needs twice the memory."""
    half, full = (temporary_memory(size, lambda s: BOUNDS[name](s, 0.0)) for size in (32_768, 65_536))
    assert full < 4 * 65_536**2 / 40
    assert full < 2.1 * half


@pytest.mark.parametrize("size", [2048, pytest.param(16_384, marks=pytest.mark.slow)])
def test_large_batches(size, optimised):
    """Value of InfoNCE and DV and the gradient of InfoNCE in x against NumPy in float64, some rows at a time."""
    rows = 1024
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size, 8))
    y = x + 0.5 * rng.standard_normal((size, 8))
    joint, log_sum, log_off, gradient = (x * y).sum(1), np.zeros(size), np.zeros(size), y / size
    for start in range(0, size, rows):
        block = slice(start, start + rows)
        exponentials = np.exp(y[block] @ x.T)
        log_sum[block] = np.log(exponentials.sum(1))
        log_off[block] = np.log(exponentials.sum(1) - np.exp(joint[block]))
        gradient = gradient - (exponentials / exponentials.sum(1, keepdims=True)).T @ y[block] / size

    @jax.jit
    def estimates(u, v):
        def scores(u):
            return ScoreBlocks(lambda u, v: v @ u.T, u, v, 256)

        return lower.dv(scores(u)), jax.value_and_grad(lambda u: lower.infonce(scores(u)))(u)

    dv, (infonce, of_x) = estimates(*(jnp.asarray(a, jnp.float32) for a in (x, y)))
    np.testing.assert_allclose(infonce, math.log(size) + np.mean(joint - log_sum), rtol=2e-5)
    log_mean = np.logaddexp.reduce(log_off) - math.log(size * (size - 1))
    np.testing.assert_allclose(dv, joint.mean() - log_mean, rtol=2e-5)
    np.testing.assert_allclose(of_x, gradient, atol=2e-5 * np.abs(gradient).max())


@pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")
@pytest.mark.parametrize("block", [None, pytest.param(8, marks=pytest.mark.slow)])
def test_eight_devices_give_the_bounds_of_one(whole, block):
    """Every bound and its gradients, the batch divided over the devices: the marginal pairs are global."""
    mesh = data_mesh()
    compute = value_and_gradients(block)

    @jax.jit
    def divided(params, *batch):
        return compute(params, *across_devices(batch))

    with use_mesh(mesh):
        batch = jax.device_put((X, Y, BASELINE), split(mesh))
        values = divided(jax.device_put(PARAMS, replicated(mesh)), *batch)
    chex.assert_trees_all_close(jax.tree.map(np.asarray, values), whole, rtol=2e-5, atol=2e-6)
