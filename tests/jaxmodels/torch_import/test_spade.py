"""State dicts of SPADE and DAGAN: there and back, names one to one, and errors that name the array."""

import re

import jax
import numpy as np
import pytest

from jaxmodels.dagan import DAGANGenerator
from jaxmodels.image_encoder import ImageEncoder
from jaxmodels.patch_gan import MultiScaleDiscriminator, PatchDiscriminator
from jaxmodels.spade import SPADE, Style
from jaxmodels.torch_import.spade import check_same, export_network, import_network
from tests.jaxmodels.spade_goldens import load, under

IMAGE = jax.ShapeDtypeStruct((2, 64, 64, 3), np.float32)
LAYOUT = jax.ShapeDtypeStruct((2, 64, 64, 12), np.float32)
PAIR = jax.ShapeDtypeStruct((2, 64, 64, 15), np.float32)


def discriminator(norm="instance", spectral=True):
    return MultiScaleDiscriminator(2, PatchDiscriminator(8, norm=norm, spectral=spectral, parent=None))


def variables_of(module, *inputs):
    """Numbers that are all different, so that no permutation goes unseen."""
    wanted = jax.eval_shape(lambda key, *inputs: module.init(key, *inputs, False), jax.random.key(0), *inputs)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), wanted)


@pytest.mark.parametrize(
    ("name", "network"),
    [(name, network) for name in ("spade_normal", "spade_vae", "dagan_normal") for network in "GD"]
    + [("spade_vae", "E")],
)
def test_there_and_back(shared, name, network):
    """Every entry of the official state dict but the counters of batch norm returns as it was."""
    official = under(load(shared, name), f"{network}/")
    assert official
    back = export_network(import_network(official))
    assert set(back) == {key for key in official if not key.endswith("num_batches_tracked")}
    for key, array in back.items():
        np.testing.assert_array_equal(array, official[key])


NETWORKS = {
    "discriminator": (discriminator(), (PAIR,), "instance"),
    "discriminator-batch": (discriminator("batch"), (PAIR,), "batch"),
    "discriminator-none": (discriminator("none"), (PAIR,), "none"),
    "discriminator-plain": (discriminator(spectral=False), (PAIR,), "instance"),
    "one-scale": (PatchDiscriminator(4, layers=2, norm="batch"), (PAIR,), "batch"),
    "layer": (SPADE(Style(hidden=3)), (IMAGE, LAYOUT), "instance"),
    "dagan": (DAGANGenerator(1), (LAYOUT, None), "instance"),
    "encoder": (ImageEncoder(2, 4, 64), (IMAGE,), "instance"),
    "encoder-batch": (ImageEncoder(2, 4, 16, norm="batch", spectral=False), (IMAGE,), "batch"),
    "encoder-none": (ImageEncoder(2, 4, 16, norm="none"), (IMAGE,), "none"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_back_and_there(name):
    module, inputs, norm = NETWORKS[name]
    variables = variables_of(module, *inputs)
    again = import_network(export_network(variables, norm))
    check_same(again, variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_official_names_of_batch_norm():
    """It follows the convolution, which has no bias, inside the first of a stage's two parts."""
    names = set(export_network(variables_of(discriminator("batch"), PAIR), "batch"))
    stage = "discriminator_0.model1."
    assert {name.removeprefix(stage) for name in names if name.startswith(stage)} == {
        "0.0.weight_orig",
        "0.0.weight_u",
        "0.0.weight_v",
        "0.1.weight",
        "0.1.bias",
        "0.1.running_mean",
        "0.1.running_var",
    }


def test_official_names_of_an_encoder():
    """Its convolutions stand one level higher than a discriminator's, and alone without a norm."""
    variables = variables_of(ImageEncoder(2, 4, 8, norm="batch", spectral=False), IMAGE)
    kept = {
        "layer1.0.weight",
        *(f"layer1.1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")),
    }
    heads = {f"{head}.{leaf}" for head in ("fc_mu", "fc_var") for leaf in ("weight", "bias")}
    assert set(export_network(variables, "batch")) == kept | heads
    variables = variables_of(ImageEncoder(2, 4, 8, norm="none", spectral=False), IMAGE)
    assert set(export_network(variables, "none")) == {"layer1.weight", "layer1.bias"} | heads


def test_right_singular_vector_follows_its_kernel():
    """W v is the same number on both sides: v is over (in, rows, columns) there, (rows, columns, in) here."""
    rng = np.random.default_rng(0)
    official = {
        "conv_0.weight_orig": rng.standard_normal((5, 4, 3, 3)),
        "conv_0.weight_u": rng.standard_normal(5),
        "conv_0.weight_v": rng.standard_normal(36),
    }
    ours = import_network(official)
    matrix = ours["params"]["conv_0"]["kernel"].reshape(-1, 5).T
    expected = official["conv_0.weight_orig"].reshape(5, -1) @ official["conv_0.weight_v"]
    np.testing.assert_allclose(matrix @ ours["spectral"]["conv_0"]["v"], expected)


def test_entry_of_another_network_is_an_error():
    with pytest.raises(ValueError, match=re.escape("'fc.log_scale' belongs to no layer of SPADE or DAGAN")):
        import_network({"fc.log_scale": np.zeros(3)})


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (("fc.bias", "fc.bias.bias"), "'fc.bias.bias' lies within another, 'fc.bias'"),
        (("fc.scale.bias", "fc.weight"), "'fc.scale.bias' lies within another, 'fc.weight'"),
        (("a.mean.running_mean", "a.running_mean"), "within another, 'a.running_mean'"),
        (("fc.weight_orig", "fc.weight"), "'fc.weight_orig' and 'fc.weight' are one array here"),
    ],
)
def test_entries_that_collide_are_an_error(entries, said):
    """By our names: a one-dimensional weight is a scale."""
    sizes = {"fc.weight_orig": (3, 3), "fc.weight": (3, 3) if "fc.weight_orig" in entries else (3,)}
    with pytest.raises(ValueError, match=re.escape(said)):
        import_network({name: np.zeros(sizes.get(name, 3)) for name in entries})


def test_check_names_what_differs():
    ours = {"params": {"fc": {"kernel": np.zeros((3, 2))}, "conv": {"bias": np.zeros(2)}}}
    check_same(ours, ours)
    wide = {"params": {**ours["params"], "fc": {"kernel": np.zeros((3, 4))}}}
    with pytest.raises(
        ValueError, match=re.escape("params/fc/kernel has shape (3, 2) in these settings and (3, 4)")
    ):
        check_same(wide, ours)
    less = {"params": {"fc": ours["params"]["fc"]}}
    with pytest.raises(
        ValueError, match=re.escape("params/conv/bias has shape (2,) in these settings and none")
    ):
        check_same(less, ours)
    with pytest.raises(
        ValueError, match=re.escape("params/conv/bias has shape none in these settings and (2,)")
    ):
        check_same(ours, less)
