"""GRU4Rec's cells against the reference arrays and against each other, its initial weights, and its dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.gru4rec import (
    GRU4Rec,
    OriginalCell,
    TorchCell,
    init_tables,
    input_table,
    uniform_blocks,
    zero_hidden,
)


def golden(shared, group):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        return {key.partition("/")[2]: jnp.asarray(archive[key]) for key in archive if key.startswith(group)}


@pytest.mark.parametrize("lookup", [False, True])
def test_original_cell(shared, lookup):
    """At 1e-9 in float64, with x multiplied and with x Wx looked up."""
    with jax.enable_x64(True):
        gold = golden(shared, "gru_theano/")
        params = {name: gold[name] for name in ("Wx", "Wrz", "Wh", "b")}
        x = gold["x"] @ params.pop("Wx") if lookup else gold["x"]
        h = OriginalCell(5, project=not lookup).apply({"params": params}, x, gold["h"])
        np.testing.assert_allclose(h, gold["h_new"], rtol=1e-9)


@pytest.mark.parametrize("lookup", [False, True])
def test_torch_cell(shared, lookup):
    with jax.enable_x64(True):
        gold = golden(shared, "gru_torch/")
        params = {name: gold[name].T for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        x = gold["x"] @ params.pop("weight_ih") if lookup else gold["x"]
        h = TorchCell(5, project=not lookup).apply({"params": params}, x, gold["h"])
        np.testing.assert_allclose(h, gold["h_new"], rtol=1e-9)


@pytest.mark.parametrize("cell", ["original", "torch"])
@pytest.mark.parametrize("embedding", ["none", "separate", "shared"])
def test_layers_follow_each_other(cell, embedding):
    """Two layers are the one cell behind the other, the second of projected input."""
    layers, key = (4, 6), jax.random.key(0)
    tables = init_tables(key, 9, layers, embedding, width=3)
    x = tables[input_table(tables)][jnp.asarray([3, 3, 8])]
    assert x.shape[1] == {"none": 12, "separate": 3, "shared": 6}[embedding]
    hidden = tuple(jnp.full((3, size), 0.3) for size in layers)
    network = GRU4Rec(layers, cell, embedding)
    params = network.init(key, x, hidden)["params"]
    after = network.apply({"params": params}, x, hidden)
    one = OriginalCell if cell == "original" else TorchCell
    first = one(4, project=embedding != "none").apply({"params": params["layer_0"]}, x, hidden[0])
    second = one(6).apply({"params": params["layer_1"]}, first, hidden[1])
    for ours, expected in zip(after, (first, second), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_array_equal(after[0][0], after[0][1])


def test_initial_weights_are_uniform_by_block():
    """s = sqrt(6 / (rows + columns)) of each block; U(-s, s) has the variance s^2 / 3; biases are 0."""
    tables = init_tables(jax.random.key(0), 300, (40, 50), "none", width=0)
    params = GRU4Rec((40, 50), embedding="none").init(
        jax.random.key(1), tables["input"][:2], zero_hidden(2, (40, 50))
    )["params"]
    for weights, s in (
        (tables["output"], np.sqrt(6 / 350)),
        (tables["input"], np.sqrt(6 / 340)),
        (params["layer_0"]["Wrz"], np.sqrt(6 / 80)),
        (params["layer_0"]["Wh"], np.sqrt(6 / 80)),
        (params["layer_1"]["Wx"], np.sqrt(6 / 90)),
    ):
        assert 0.98 * s < np.abs(weights).max() <= s
        np.testing.assert_allclose(np.std(weights), s / np.sqrt(3), rtol=0.05)
    for bias in (tables["bias"], params["layer_0"]["b"], params["layer_1"]["b"]):
        np.testing.assert_array_equal(bias, 0)
    assert np.abs(uniform_blocks(2, sigma=0.01)(jax.random.key(2), (30, 60))).max() <= 0.01


def test_dropped_out_state_is_what_is_carried():
    network = GRU4Rec((200,), dropout_hidden=0.4, dropout_embed=0.1)
    x, hidden = jnp.ones((2, 200)), (jnp.full((2, 200), 0.5),)
    variables = network.init(jax.random.key(0), x, hidden)
    (plain,) = network.apply(variables, x, hidden)
    no_input = GRU4Rec((200,), dropout_hidden=0.4)
    (dropped,) = no_input.apply(variables, x, hidden, train=True, rngs={"dropout": jax.random.key(1)})
    kept = np.asarray(dropped != 0)
    assert abs(kept.mean() - 0.6) < 0.08
    np.testing.assert_allclose(dropped[kept], plain[kept] / 0.6, rtol=1e-5)
    (both,) = network.apply(variables, x, hidden, train=True, rngs={"dropout": jax.random.key(1)})
    assert not np.allclose(both[kept], dropped[kept])
