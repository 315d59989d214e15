"""The GW term: its double loop, its invariances, and the exact distance of small sets by brute force."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.stats import ortho_group

from objectives.gromov_wasserstein import gromov_wasserstein, latent_scale, mean_std


def pair(seed, size=6):
    """(x, z): images [size, 2, 3] and codes [size, 4]."""
    rng = np.random.default_rng(seed)
    x, z = rng.standard_normal((size, 2, 3)), rng.standard_normal((size, 4))
    return jnp.asarray(x, jnp.float32), jnp.asarray(z, jnp.float32)


def loop(x, z, scale, power, coupling=None):
    """The definition in float64; `coupling` says which x each z is paired with."""
    x, z = np.float64(x).reshape(len(x), -1), np.float64(z)
    x = x if coupling is None else x[list(coupling)]
    terms = [
        abs(scale * np.linalg.norm(z[a] - z[b]) - np.linalg.norm(x[a] - x[b])) ** power
        for a in range(len(x))
        for b in range(len(x))
    ]
    return np.mean(terms)


class Definition(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    def test_loop(self):
        x, z = pair(0)
        for power in (1.0, 2.0):
            value = self.variant(lambda a, b, p=power: gromov_wasserstein(a, b, 1.7, p))(x, z)
            np.testing.assert_allclose(value, loop(x, z, 1.7, power), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap(self):
        pairs = [pair(seed) for seed in range(3)]
        x, z = (jnp.stack(arrays) for arrays in zip(*pairs, strict=True))
        values = self.variant(jax.vmap(lambda a, b: gromov_wasserstein(a, b, 1.7)))(x, z)
        np.testing.assert_allclose(values, [loop(*p, 1.7, 1) for p in pairs], rtol=1e-5)


SEEDS = st.integers(0, 2**16)
term = jax.jit(gromov_wasserstein, static_argnums=3)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([1.0, 2.0]))
def test_invariant_to_a_common_permutation(seed, power):
    x, z = pair(seed)
    order = np.random.default_rng(seed).permutation(len(x))
    value = term(x, z, 1.3, power)
    np.testing.assert_allclose(term(x[order], z[order], 1.3, power), value, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(["x", "z"]))
def test_invariant_to_isometries_of_either_space(seed, space):
    x, z = pair(seed)
    points = {"x": x.reshape(len(x), -1), "z": z}
    value = term(points["x"], points["z"], 1.3, 1.0)
    old = points[space]
    rotation = ortho_group.rvs(old.shape[1], random_state=seed)
    shift = 3 * np.random.default_rng(seed).standard_normal(old.shape[1])
    points[space] = jnp.asarray(np.float64(old) @ rotation + shift, jnp.float32)
    np.testing.assert_allclose(term(points["x"], points["z"], 1.3, 1.0), value, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_zero_for_an_isometric_pair_at_scale_one(seed):
    """Codes embedded by a rotation into a larger space; at another scale the term is that multiple."""
    _, z = pair(seed)
    x = jnp.asarray(np.float64(z) @ ortho_group.rvs(9, random_state=seed)[:4] + 1, jnp.float32)
    np.testing.assert_allclose(term(x, z, 1.0, 1.0), 0, atol=1e-5)
    expected = 0.5 * loop(x, 0 * z, 1.0, 1)
    np.testing.assert_allclose(term(x, z, 1.5, 1.0), expected, rtol=1e-4)


@pytest.mark.parametrize("copies", [2, 6])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gradient_is_finite_with_duplicated_points(copies, power):
    x, z = pair(0)
    x, z = (a.at[:copies].set(a[:1]) for a in (x, z))

    def loss(x, z):
        return gromov_wasserstein(x, z, latent_scale(jnp.asarray(0.3), z), power)

    value, gradients = jax.value_and_grad(loss, (0, 1))(x, z)
    chex.assert_tree_all_finite((value, gradients))
    if copies == 6:
        assert value == 0


def test_derivatives():
    x, z = pair(3)
    for power in (1.0, 2.0):
        check_grads(
            jax.jit(lambda a, b, p=power: gromov_wasserstein(a, b, 1.3, p)),
            (x, z),
            1,
            ["rev"],
            atol=2e-2,
            rtol=2e-2,
        )


def test_all_pairs_count():
    """Two points at distance 3 in z and 1 in x: two of four pairs have distortion 2."""
    assert gromov_wasserstein(jnp.asarray([[0.0], [1.0]]), jnp.asarray([[0.0], [3.0]]), 1.0) == 1.0


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("size", [3, 5])
def test_exact_distance_is_never_above_the_amortised_coupling(power, size):
    """The Monge form by brute force over all permutations; the term is the cost of the identity."""
    for seed in range(3):
        x, z = pair(seed, size)
        costs = {p: loop(x, z, 1.0, power, p) for p in itertools.permutations(range(size))}
        amortised = gromov_wasserstein(x, z, 1.0, power)
        np.testing.assert_allclose(amortised, costs[tuple(range(size))], rtol=1e-5)
        best = min(costs, key=costs.get)
        assert costs[best] <= amortised * (1 + 1e-5)
        np.testing.assert_allclose(
            gromov_wasserstein(x[np.asarray(best)], z, 1.0, power), costs[best], rtol=1e-5
        )


def test_exact_distance_finds_a_hidden_isometry():
    _, z = pair(0, 5)
    x = z[np.asarray([3, 1, 4, 0, 2])]
    assert gromov_wasserstein(x, z, 1.0) > 0.1
    assert min(loop(x, z, 1.0, 1, p) for p in itertools.permutations(range(5))) < 1e-12


def test_latent_scale():
    _, z = pair(0, 50)
    np.testing.assert_allclose(mean_std(z), np.std(z, 0, ddof=1).mean(), rtol=1e-6)
    np.testing.assert_allclose(latent_scale(jnp.log(2.5), z), 2.5 / np.std(z, 0, ddof=1).mean(), rtol=1e-5)
    np.testing.assert_allclose(
        latent_scale(jnp.log(2.5), 7 * z) * 7, latent_scale(jnp.log(2.5), z), rtol=1e-5
    )
    np.testing.assert_allclose(latent_scale(jnp.zeros(()), jnp.zeros((4, 2))), 1e8, rtol=1e-5)
    check_grads(jax.jit(latent_scale), (jnp.asarray(0.4), z), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)
