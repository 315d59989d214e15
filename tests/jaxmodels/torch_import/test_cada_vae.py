"""Official state dicts to our parameters and back, by construction and without the reference folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxmodels.cada_vae import Decoder, Encoder
from jaxmodels.torch_import.cada_vae import export_state_dict, import_state_dict

SIZES = {"image": 7, "attributes": 5, "sentences": 3}
PREFIXES = {"image": "img", "attributes": "att", "sentences": "sen"}


def params(count=2, hidden=(6,)):
    """Parameters of the first modalities, every entry its own random number."""
    rng = np.random.default_rng(0)

    def fill(leaf):
        return rng.standard_normal(leaf.shape).astype(np.float32)

    def init(size):
        x, z = jnp.zeros((1, size)), jnp.zeros((1, 4))
        return {
            "encoder": Encoder(4, hidden).init(jax.random.key(0), x)["params"],
            "decoder": Decoder(size, 8).init(jax.random.key(1), z)["params"],
        }

    shapes = {m: jax.eval_shape(lambda s=size: init(s)) for m, size in list(SIZES.items())[:count]}
    return jax.tree.map(fill, shapes)


@pytest.mark.parametrize("count", [2, 3])
def test_round_trip(count):
    ours = params(count)
    state_dict = export_state_dict(ours, PREFIXES)
    assert len(state_dict) == 10 * count
    again = import_state_dict(state_dict, ours, PREFIXES)
    for path, array in flatten_dict(ours).items():
        np.testing.assert_array_equal(flatten_dict(again)[path], array, err_msg=str(path))


def test_names_and_layouts():
    """Torch has (out, in)."""
    ours = params()
    state_dict = export_state_dict(ours)
    shapes = {name: array.shape for name, array in state_dict.items() if name.startswith("att")}
    assert shapes == {
        "att_enc/h.weight": (6, 5),
        "att_enc/h.bias": (6,),
        "att_enc/mu.weight": (4, 6),
        "att_enc/mu.bias": (4,),
        "att_enc/logvar.weight": (4, 6),
        "att_enc/logvar.bias": (4,),
        "att_dec/h.weight": (8, 4),
        "att_dec/h.bias": (8,),
        "att_dec/out.weight": (5, 8),
        "att_dec/out.bias": (5,),
    }
    x = np.random.default_rng(1).standard_normal((2, 7)).astype(np.float32)
    mu, _ = Encoder(4, (6,)).apply({"params": ours["image"]["encoder"]}, x)
    h = np.maximum(x @ state_dict["img_enc/h.weight"].T + state_dict["img_enc/h.bias"], 0)
    expected = h @ state_dict["img_enc/mu.weight"].T + state_dict["img_enc/mu.bias"]
    np.testing.assert_allclose(mu, expected, rtol=1e-5, atol=1e-6)


def test_shapes_may_be_abstract():
    ours = params()
    again = import_state_dict(export_state_dict(ours), jax.eval_shape(lambda: ours))
    np.testing.assert_array_equal(
        again["image"]["decoder"]["out"]["bias"], ours["image"]["decoder"]["out"]["bias"]
    )


@pytest.mark.parametrize("change", ["missing", "left over", "shape", "transposed"])
def test_wrong_state_dicts(change):
    ours = params()
    state_dict = export_state_dict(ours)
    match change:
        case "missing":
            del state_dict["img_enc/mu.bias"]
            problem = "no 'img_enc/mu.bias'"
        case "left over":
            state_dict["sen_enc/h.bias"] = np.zeros(3)
            problem = "sen_enc/h.bias"
        case "shape":
            state_dict["att_dec/out.weight"] = np.zeros((5, 9), np.float32)
            problem = r"'att_dec/out.weight' has shape \(5, 9\), its layer has \(5, 8\)"
        case "transposed":
            state_dict["att_dec/out.weight"] = state_dict["att_dec/out.weight"].T
            problem = r"'att_dec/out.weight' has shape \(8, 5\)"
    with pytest.raises(ValueError, match=problem):
        import_state_dict(state_dict, ours)


def test_layers_without_an_official_name():
    with pytest.raises(ValueError, match="encoder/hidden_1/bias"):
        export_state_dict(params(hidden=(6, 5)))
    with pytest.raises(ValueError, match="sentences/"):
        export_state_dict(params(3))
