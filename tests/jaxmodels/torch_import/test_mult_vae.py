"""State dicts of PyTorch ports of Mult-VAE and Mult-DAE to our parameters and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.mult_vae import Decoder, DeterministicEncoder, Encoder
from jaxmodels.torch_import.mult_vae import export_state_dict, import_state_dict

ITEMS, HIDDEN = 7, (5,)


def params(encoder=Encoder):
    """Every entry its own random number."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda: {
            "encoder": encoder(3, HIDDEN).init(jax.random.key(0), jnp.zeros((1, ITEMS)))["params"],
            "decoder": Decoder(ITEMS, HIDDEN).init(jax.random.key(1), jnp.zeros((1, 3)))["params"],
        }
    )
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes)


def test_names_and_layouts():
    """Torch has (out, in); the encoder's last layer holds mu, then logvar."""
    ours = params()
    state_dict = export_state_dict(ours)
    assert {name: array.shape for name, array in state_dict.items()} == {
        "q_layers.0.weight": (5, 7),
        "q_layers.0.bias": (5,),
        "q_layers.1.weight": (6, 5),
        "q_layers.1.bias": (6,),
        "p_layers.0.weight": (5, 3),
        "p_layers.0.bias": (5,),
        "p_layers.1.weight": (7, 5),
        "p_layers.1.bias": (7,),
    }
    x = np.random.default_rng(1).standard_normal((2, ITEMS)).astype(np.float32)
    h = np.tanh(x @ state_dict["q_layers.0.weight"].T + state_dict["q_layers.0.bias"])
    out = h @ state_dict["q_layers.1.weight"].T + state_dict["q_layers.1.bias"]
    mu, logvar = Encoder(3, HIDDEN).apply({"params": ours["encoder"]}, x)
    np.testing.assert_allclose(np.concatenate([mu, logvar], axis=1), out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("encoder", [Encoder, DeterministicEncoder])
def test_round_trip(encoder):
    ours = params(encoder)
    again = import_state_dict(export_state_dict(ours), jax.eval_shape(lambda: ours))
    jax.tree.map(np.testing.assert_array_equal, again, ours)


@pytest.mark.parametrize("change", ["missing", "left over", "shape"])
def test_wrong_state_dicts(change):
    ours = params()
    state_dict = export_state_dict(ours)
    match change:
        case "missing":
            del state_dict["q_layers.1.bias"]
            problem = r"no 'q_layers\.1\.bias'"
        case "left over":
            state_dict["q_layers.2.bias"] = np.zeros(3)
            problem = r"settings: q_layers\.2\.bias"
        case "shape":
            state_dict["p_layers.1.weight"] = state_dict["p_layers.1.weight"].T
            problem = r"'p_layers\.1\.weight' has shape \(5, 7\), its layer has \(7, 5\)"
    with pytest.raises(ValueError, match=problem):
        import_state_dict(state_dict, ours)
