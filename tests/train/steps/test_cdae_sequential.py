"""The official update on one user: every parameter of the reference, and a plain loop on other settings."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.steps.cdae import ACCUMULATOR, CDAEConfig
from train.steps.cdae_sequential import sequential_user_step

CONFIG = CDAEConfig(latent_dim=5, corruption_amount=0.4, learning_rate=0.1, adagrad_beta=1.0, l2=0.01)
NAMES = {"inputs": "W", "users": "V_user", "outputs": "W_out", "bias": "b", "item_bias": "b_out"}


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-5)])
@pytest.mark.parametrize("kind", ["asym", "tied"])
def test_golden(shared, kind, dtype, rtol):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {name: archive[name] for name in archive.files if name.startswith("cdae/")}
    with jax.enable_x64(dtype == np.float64):
        params = {ours: jnp.asarray(gold[f"cdae/{theirs}"], dtype) for ours, theirs in NAMES.items()}
        accumulators = {name: jnp.full_like(leaf, ACCUMULATOR) for name, leaf in params.items()}
        user, positives, kept, negatives = (
            jnp.asarray(gold[f"cdae/step/{name}"], jnp.int32) for name in ("user", "pos", "kept", "negs")
        )
        after, _ = jax.jit(sequential_user_step, static_argnums=6)(
            params,
            accumulators,
            user,
            positives,
            jnp.isin(positives, kept),
            negatives,
            replace(CONFIG, tied=kind == "tied"),
        )
        for ours, theirs in NAMES.items():
            expected = gold[f"cdae/step/{kind}/{theirs}"]
            np.testing.assert_allclose(
                after[ours], expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=ours
            )


@pytest.mark.parametrize("tied", [True, False])
def test_a_loop_over_items_with_squared_errors_and_tanh(tied):
    config = replace(CONFIG, tied=tied, hidden="tanh", loss="square", adagrad_beta=0.1)
    rng = np.random.default_rng(0)
    shapes = {"inputs": (7, 3), "users": (2, 3), "bias": (3,), "item_bias": (7,)}
    shapes |= {} if tied else {"outputs": (7, 3)}
    params = {name: 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}
    positives, kept, negatives = np.array([4, 1, 6]), np.array([True, False, True]), np.array([0, 2, 0, 5])
    expected = loop(params, 1, positives, kept, negatives, config)
    ours, accumulators = jax.jit(sequential_user_step, static_argnums=6)(
        {name: jnp.asarray(leaf, jnp.float32) for name, leaf in params.items()},
        {name: jnp.full(shape, ACCUMULATOR) for name, shape in shapes.items()},
        jnp.int32(1),
        *map(jnp.asarray, (positives, kept, negatives)),
        config,
    )
    for name, leaf in expected.items():
        np.testing.assert_allclose(ours[name], leaf, rtol=1e-5, atol=1e-6, err_msg=name)
    untouched = 3 if tied else slice(0, 4)
    np.testing.assert_array_equal(accumulators["inputs"][untouched], np.float32(ACCUMULATOR))


def loop(params, user, positives, kept, negatives, config):
    """The official order of updates, in float64."""
    p = {name: leaf.copy() for name, leaf in params.items()}
    a = {name: np.full_like(leaf, ACCUMULATOR) for name, leaf in params.items()}

    def descend(name, row, gradient):
        gradient = gradient + config.l2 * p[name][row]
        a[name][row] += gradient**2
        p[name][row] -= config.learning_rate * gradient / (np.sqrt(a[name][row]) + config.adagrad_beta)

    scale, out = 1 / (1 - config.corruption_amount), "inputs" if config.tied else "outputs"
    z = np.tanh(scale * p["inputs"][positives[kept]].sum(0) + p["users"][user] + p["bias"])
    z_gradient, postponed = np.zeros(3), {}
    for i in (*positives, *negatives):
        score = p[out][i] @ z + p["item_bias"][i]
        gradient = -2 * ((i in positives) - score)
        descend("item_bias", i, gradient)
        z_gradient += gradient * p[out][i]
        if config.tied and i in positives[kept]:
            postponed[i] = gradient * z
        else:
            descend(out, i, gradient * z)
    hidden_gradient = z_gradient * (1 - z**2)
    descend("bias", slice(None), hidden_gradient)
    descend("users", user, hidden_gradient)
    for i in positives[kept]:
        descend("inputs", i, scale * hidden_gradient + postponed.get(i, 0))
    return p
