"""What holds for every estimator on scores: loops, goldens, invariances, extremes, and batches too small."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.objectives.mutual_information.bounds import BOUNDS, LOOPS, SINGLE, scores_and_baseline

each_bound = pytest.mark.parametrize("name", BOUNDS)
SETS = ("K4", "K8", "K64")


@jax.jit
def every(s, b):
    """name -> (value, gradient with respect to the scores), one program for all."""
    return {name: jax.value_and_grad(bound)(s, b) for name, bound in BOUNDS.items()}


def arrays(seed, size, scale=2.0):
    return tuple(jnp.asarray(a, jnp.float32) for a in scores_and_baseline(seed, size, scale))


class Definitions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_loops(self):
        expected = {name: loop(*scores_and_baseline(0, 4)) for name, loop in LOOPS.items()}
        values = self.variant(lambda s, b: {name: bound(s, b) for name, bound in BOUNDS.items()})(
            *arrays(0, 4)
        )
        chex.assert_trees_all_close(values, expected, rtol=2e-5, atol=1e-6)

    @chex.variants(with_jit=True)
    def test_vmap_over_estimators_and_seeds(self):
        stacked = tuple(jnp.stack(a) for a in zip(arrays(1, 4), arrays(2, 4), strict=True))
        all_values = jax.vmap(lambda s, b: {name: bound(s, b) for name, bound in BOUNDS.items()})
        expected = {
            name: np.stack([loop(*scores_and_baseline(seed, 4)) for seed in (1, 2)])
            for name, loop in LOOPS.items()
        }
        chex.assert_trees_all_close(self.variant(all_values)(*stacked), expected, rtol=2e-5, atol=1e-6)


@pytest.fixture(scope="module", params=[*SETS, "ext"])
def in_float64(goldens, request):
    with jax.enable_x64(True):
        arrays = (jnp.asarray(goldens[f"poole/{request.param}/{key}"]) for key in ("scores", "log_baseline"))
        out = every(*arrays)
    assert out["nwj"][0].dtype == jnp.float64
    assert jnp.ones(1).dtype == jnp.float32
    return request.param, out


@pytest.fixture(scope="module", params=SETS)
def in_float32(goldens, request):
    keys = (f"poole/{request.param}/{key}" for key in ("scores", "log_baseline"))
    return request.param, every(*(jnp.asarray(goldens[key], jnp.float32) for key in keys))


@each_bound
def test_golden_in_float64(goldens, in_float64, name):
    """Value and gradient, entry by entry, 1e-9 relative.

    In `ext`, scores of +-40, gradients are also small differences of terms of order 1: their rounding too.
    """
    batch, out = in_float64
    value, gradient = out[name]
    expected = goldens[f"poole/{batch}/grad/{name}"]
    rounding = 1e-12 * max(1, np.abs(expected).max()) if batch == "ext" else 0.0
    np.testing.assert_allclose(value, goldens[f"poole/{batch}/value/{name}"], rtol=1e-9)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=rounding)


@each_bound
def test_golden_in_float32(goldens, in_float32, name):
    """Value and gradient, entry by entry, 2e-5 relative; `ext` is excepted by its specification."""
    batch, out = in_float32
    value, gradient = out[name]
    np.testing.assert_allclose(value, goldens[f"poole/{batch}/value/{name}"], rtol=2e-5)
    np.testing.assert_allclose(gradient, goldens[f"poole/{batch}/grad/{name}"], rtol=2e-5)


def test_every_golden_of_scores_is_compared(goldens):
    values = {key.split("/")[-1] for key in goldens if key.startswith("poole/") and "/value/" in key}
    assert values == set(BOUNDS)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 2**16))
def test_invariant_to_a_joint_permutation(seed):
    s, b = arrays(seed, 4)
    order = np.random.default_rng(seed).permutation(4)
    permuted, original = every(s[order][:, order], b[order]), every(s, b)
    for name, (value, gradient) in original.items():
        np.testing.assert_allclose(permuted[name][0], value, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(
            permuted[name][1], gradient[order][:, order], rtol=1e-4, atol=1e-5, err_msg=name
        )


SIGNS = np.sign(np.random.default_rng(3).standard_normal((4, 4)))
LARGE = {
    "mixed": 1e4 * SIGNS,
    "opposite": -1e4 * SIGNS,
    "perfect": 2e4 * np.eye(4) - 1e4,
    "worst": 1e4 - 2e4 * np.eye(4),
}
# With the fixed moving average of this golden the gradient of MINE overflows; test_lower has the one that moves.
UNBOUNDED = {"nwj", "nwj_alldiag", "tuba", "mine_ema2"}


@pytest.mark.parametrize("scores", LARGE)
def test_scores_of_1e4(scores):
    """Exact values, -inf where only an exponential can be the answer, and never NaN in the gradient."""
    baseline = np.zeros(4)
    out = every(jnp.asarray(LARGE[scores], jnp.float32), jnp.asarray(baseline, jnp.float32))
    for name in BOUNDS.keys() - {"mine_ema2"}:
        value, gradient = out[name]
        expected = LOOPS[name](LARGE[scores], baseline)
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-2, err_msg=name)
        assert not np.any(np.isnan(gradient)), name
        assert name in UNBOUNDED or np.all(np.isfinite(gradient)), name


def test_two_pairs():
    s, b = scores_and_baseline(4, 2)
    for name, (value, gradient) in every(*arrays(4, 2)).items():
        np.testing.assert_allclose(value, LOOPS[name](s, b), rtol=2e-5, atol=1e-6, err_msg=name)
        assert np.all(np.isfinite(gradient)), name


@each_bound
def test_one_pair(name):
    s, b = jnp.asarray([[0.7]]), jnp.zeros(1)
    if name in SINGLE:
        expected = LOOPS[name](np.float64(s), np.float64(b))
        np.testing.assert_allclose(BOUNDS[name](s, b), expected, rtol=1e-6, atol=1e-6)
    else:
        with pytest.raises(ValueError, match=r"batch of 1 .* at least two"):
            BOUNDS[name](s, b)


def test_equal_scores():
    """A constant critic, with ties everywhere, at its own baseline."""
    s, b = (jnp.asarray(np.full(shape, 1.5), jnp.float32) for shape in ((4, 4), 4))
    for name, (value, gradient) in every(s, b).items():
        expected = LOOPS[name](np.float64(s), np.float64(b))
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6, err_msg=name)
        assert np.all(np.isfinite(gradient)), name
