"""GRU4Rec's weights to torch names and back, for every cell and embedding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.gru4rec import GRU4Rec, init_tables, input_table, zero_hidden
from jaxmodels.torch_import.gru4rec import export_state_dict, import_state_dict


def parameters(cell, embedding):
    tables = init_tables(jax.random.key(0), 7, (4, 5), embedding, width=3)
    x, hidden = tables[input_table(tables)][:2], zero_hidden(2, (4, 5))
    network = GRU4Rec((4, 5), cell, embedding).init(jax.random.key(1), x, hidden)["params"]
    return {"network": network, "tables": tables}


@pytest.mark.parametrize("cell", ["original", "torch"])
@pytest.mark.parametrize("embedding", ["none", "separate", "shared"])
def test_there_and_back(cell, embedding):
    params = parameters(cell, embedding)
    out = export_state_dict(params)
    assert out["Wy.weight"].shape == (7, 5) and out["By.weight"].shape == (7, 1)
    assert {"E.weight", "Wx0.weight"} & set(out) == {
        "none": {"Wx0.weight"},
        "separate": {"E.weight"},
        "shared": set(),
    }[embedding]
    assert out["layer_1." + ("Wx" if cell == "original" else "weight_ih")].shape == (
        (4, 15) if cell == "original" else (15, 4)
    )
    back = import_state_dict(out, params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_reference_cell_by_name(shared):
    """weight_ih and the others as torch keeps them."""
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        gold = {k.partition("/")[2]: archive[k] for k in archive if k.startswith("gru_torch/")}
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    with jax.enable_x64(True):
        x, h = jnp.asarray(gold["x"]), jnp.asarray(gold["h"])
        network = GRU4Rec((5,), "torch", "separate")
        tables = init_tables(jax.random.key(0), 4, (5,), "separate", width=6)
        like = {"network": network.init(jax.random.key(0), x, (h,))["params"], "tables": tables}
        state = {f"layer_0.{name}": gold[name] for name in names}
        state |= {"Wy.weight": np.zeros((4, 5)), "By.weight": np.zeros((4, 1)), "E.weight": np.zeros((4, 6))}
        params = import_state_dict(state, like)
        (ours,) = network.apply({"params": params["network"]}, x, (h,))
        np.testing.assert_allclose(ours, gold["h_new"], rtol=1e-9)


def test_wrong_state_dicts():
    params = parameters("torch", "separate")
    state = export_state_dict(params)
    for spoiled, word in (
        ({**state, "Wx0.weight": state["E.weight"]}, "Wx0"),
        ({k: v for k, v in state.items() if k != "By.weight"}, "By"),
        ({**state, "Wy.weight": state["Wy.weight"].T}, "shape"),
    ):
        with pytest.raises(ValueError, match=word):
            import_state_dict(spoiled, params)
