"""Arrays by name: layouts, number formats, and everything that does not fit."""

import jax
import numpy as np
import pytest

from jaxmodels.torch_import.by_name import LEAVES, from_packed, import_by_name

RNG = np.random.default_rng(0)
LIKE = {
    "params": {
        "conv": {"kernel": np.zeros((3, 2, 4, 5)), "bias": np.zeros(5)},
        "norm": {"scale": np.zeros(5), "bias": np.zeros(5)},
        "dense": {"kernel": np.zeros((5, 6))},
    },
    "batch_stats": {"norm": {"mean": np.zeros(5), "var": np.zeros(5)}},
}


def name_of(path):
    return f"net.{path[0]}.{LEAVES[path[1]]}"


def state_dict():
    return {
        "net.conv.weight": RNG.normal(size=(5, 4, 3, 2)).astype(np.float16),
        "net.conv.bias": RNG.normal(size=5),
        **{
            f"net.norm.{leaf}": RNG.normal(size=5)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        },
        "net.norm.num_batches_tracked": np.array(3),
        "net.dense.weight": RNG.normal(size=(6, 5)),
        "head.weight": np.zeros(2),
    }


def test_layouts():
    theirs = state_dict()
    ours = import_by_name(theirs, LIKE, name_of, spare=("head.",))
    assert jax.tree.map(np.shape, ours) == jax.tree.map(np.shape, LIKE)
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {np.dtype(np.float32)}
    assert ours["params"]["conv"]["kernel"][2, 1, 3, 4] == np.float32(theirs["net.conv.weight"][4, 3, 2, 1])
    assert ours["params"]["dense"]["kernel"][1, 2] == np.float32(theirs["net.dense.weight"][2, 1])
    np.testing.assert_allclose(ours["batch_stats"]["norm"]["var"], theirs["net.norm.running_var"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"net.dense.weight": None}, r"no 'net\.dense\.weight'"),
        ({"net.other.weight": np.zeros(1)}, r"this network: net\.other\.weight"),
        (
            {"net.dense.weight": np.zeros((5, 6))},
            r"'net\.dense\.weight' has shape \(5, 6\), its layer has \(6, 5\)",
        ),
    ],
)
def test_what_does_not_fit(change, problem):
    theirs = {name: array for name, array in (state_dict() | change).items() if array is not None}
    with pytest.raises(ValueError, match=problem):
        import_by_name(theirs, LIKE, name_of, spare=("head.",))


def test_packed_files():
    kernel, bias = RNG.normal(size=(3, 3, 2, 4)), RNG.normal(size=4)
    packed = {"conv0/kernel": kernel, "conv0/bias": bias, "conv1/bias": bias}
    found = from_packed(packed, {"conv_0": 7})
    assert set(found) == {"features.7.weight", "features.7.bias"}
    np.testing.assert_array_equal(found["features.7.weight"].transpose(2, 3, 1, 0), kernel)
    assert from_packed(found, {"conv_0": 7}) is found
