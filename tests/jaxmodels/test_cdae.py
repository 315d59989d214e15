"""The network of CDAE: the reference's hidden layers and scores, users without a node, corruption, initial values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.cdae import CDAE, corrupt

NAMES = {"inputs": "W", "users": "V_user", "outputs": "W_out", "bias": "b", "item_bias": "b_out"}


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-5)])
def test_goldens(shared, dtype, rtol):
    """Every activation, tied and not."""
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {name[5:]: archive[name] for name in archive.files if name.startswith("cdae/")}
    cases = list(itertools.product(("sigmoid", "identity", "tanh"), (False, True)))

    @jax.jit
    def every(params, y, keep):
        # The reference gives what is kept; noise of 0 or 1 on either side of q says the same.
        x, out = corrupt(y, keep, "mask", float(gold["q"])), []
        for activation, tied in cases:
            model = CDAE(6, 30, 5, activation, tied, user_node=True)
            own = {name: leaf for name, leaf in params.items() if not (tied and name == "outputs")}
            hidden = model.apply({"params": own}, x, jnp.arange(6), method="hidden")
            out.append((hidden, model.apply({"params": own}, x, jnp.arange(6))))
        return out

    with jax.enable_x64(dtype == np.float64):
        params = {ours: gold[theirs].astype(dtype) for ours, theirs in NAMES.items()}
        ours = every(params, gold["y"].astype(dtype), gold["keep"].astype(dtype))
    for (activation, tied), (hidden, scores) in zip(cases, ours, strict=True):
        for value, name in ((hidden, "hidden"), (scores, "out_tied" if tied else "out")):
            expected = gold[f"{name}_{activation}"]
            assert value.dtype == dtype
            np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def init(users=4, items=9, latent_dim=3, tied=False, user_node=True, activation="sigmoid"):
    model = CDAE(users, items, latent_dim, activation, tied, user_node)
    x, user = jnp.zeros((1, items)), jnp.zeros(1, jnp.int32)
    return model, jax.jit(model.init)(jax.random.key(0), x, user)["params"]


def test_numbers_that_are_no_users():
    """-1, or beyond the table: as if there were no node; no gradient reaches the table."""
    model, params = init()
    x = jnp.asarray(np.random.default_rng(0).random((3, 9)) < 0.5, jnp.float32)
    user = jnp.asarray([-1, 4, 1])

    @jax.jit
    def both(params):
        without = CDAE(4, 9, 3, "sigmoid", tied=False, user_node=False)
        plain = without.apply({"params": {k: v for k, v in params.items() if k != "users"}}, x, user)
        gradient = jax.grad(lambda p: model.apply({"params": p}, x, user).sum())(params)
        return model.apply({"params": params}, x, user), plain, gradient["users"]

    ours, plain, gradient = both(params)
    np.testing.assert_allclose(ours[:2], plain[:2], rtol=1e-6)
    assert np.abs(ours[2] - plain[2]).max() > 0.01
    assert np.flatnonzero(np.any(gradient, axis=1)) == [1]


def test_parameters_and_initial_values():
    """Uniform on +-4 sqrt(6 / (items + K)) for all tables, zeros for biases."""
    _, params = init(users=50, items=90, latent_dim=30)
    shapes = {name: leaf.shape for name, leaf in params.items()}
    tables = {"inputs": (90, 30), "outputs": (90, 30), "users": (50, 30)}
    assert shapes == tables | {"bias": (30,), "item_bias": (90,)}
    bound = 4 * np.sqrt(6 / 120)
    for name in tables:
        assert 0.98 * bound < np.abs(params[name]).max() <= bound
    assert not np.any(params["bias"]) and not np.any(params["item_bias"])
    tied = CDAE(50, 90, 30, "sigmoid", tied=True, user_node=False)
    shapes = jax.eval_shape(tied.init, jax.random.key(0), jnp.zeros((1, 90)), jnp.zeros(1, jnp.int32))
    assert set(shapes["params"]) == {"inputs", "bias", "item_bias"}


def test_corruption_keeps_the_mean():
    x = jnp.asarray([[1.0, 0.0, 1.0, 1.0]])
    uniform = jnp.asarray([[0.1, 0.9, 0.39, 0.41]])
    np.testing.assert_allclose(corrupt(x, uniform, "mask", 0.4), [[0, 0, 0, 1 / 0.6]], rtol=1e-6)
    np.testing.assert_allclose(corrupt(x, uniform, "mask", 0.0), x)
    np.testing.assert_array_equal(corrupt(x, uniform, "mask", 1.0), 0)
    np.testing.assert_allclose(corrupt(x, uniform, "gaussian", 2.0), x + 2 * uniform, rtol=1e-6)
