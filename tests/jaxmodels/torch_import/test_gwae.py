"""Official state dicts to our variables and back, by construction and without the reference folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxmodels.gwae import Critic, Decoder, Encoder
from jaxmodels.priors import make_prior
from jaxmodels.torch_import.gwae import export_state_dict, import_state_dict

LATENTS = 6
PRIORS = (
    "neural",
    "factorised-neural",
    "gaussian-mixture",
    "causal",
    "vector-quantised",
    "normal",
    "uniform",
    "spherical",
)


def variables(prior, batch_norm=False, residual_blocks=False):
    """(params, critic, collections) of the state of a run, every entry its own random number."""
    modules = {
        "encoder": Encoder(LATENTS, batch_norm, residual_blocks),
        "decoder": Decoder(3, batch_norm, residual_blocks),
        "prior": make_prior(prior, LATENTS, 4),
        "critic": Critic(),
    }
    x, z = jnp.zeros((2, 64, 64, 3)), jnp.zeros((2, LATENTS))
    noise = jax.eval_shape(lambda: modules["prior"].noise(jax.random.key(0), 2))
    inputs = {"encoder": (x,), "decoder": (z,), "prior": (noise,), "critic": (x, z)}
    rng = np.random.default_rng(0)

    def fill(leaf):
        return rng.standard_normal(leaf.shape).astype(np.float32)

    shapes = {
        name: jax.eval_shape(lambda *a, m=module: m.init(jax.random.key(0), *a, False), *inputs[name])
        for name, module in modules.items()
    }
    filled = jax.tree.map(fill, shapes)
    params = {name: filled[name].get("params", {}) for name in ("encoder", "decoder", "prior")}
    params["log_scale"] = np.asarray(0.9, np.float32)
    collections = {name: {k: v for k, v in tree.items() if k != "params"} for name, tree in filled.items()}
    return params, filled["critic"]["params"], collections


def assert_same(ours, theirs):
    ours, theirs = flatten_dict(ours, sep="/"), flatten_dict(theirs, sep="/")
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_array_equal(array, theirs[path], err_msg=path)


@pytest.mark.parametrize("prior", PRIORS)
def test_round_trip(prior):
    params, critic, collections = variables(prior)
    state_dict = export_state_dict(params, critic, collections, prior)
    for ours, theirs in zip((params, critic, collections), import_state_dict(state_dict, prior), strict=True):
        assert_same(ours, theirs)


def test_layouts():
    """Torch has (out, in) and (O, I, kh, kw), and (I, O, kh, kw) where it transposes."""
    state_dict = export_state_dict(*variables("neural"), "neural")
    shapes = {name: array.shape for name, array in state_dict.items()}
    assert shapes["enc_block.net.3.weight"] == (64, 32, 4, 4)
    assert shapes["enc_block.net.10.weight"] == (256, 4096)
    assert shapes["dec_block.net.5.weight"] == (256, 128, 4, 4)
    assert shapes["disc_block.x_net.2.weight_orig"] == (16, 8, 4, 4)
    assert shapes["disc_block.x_net.2.weight_v"] == (128,)
    assert shapes["sampler.net.0.weight"] == (4 * LATENTS, LATENTS)


def test_factorised_layers_are_grouped_convolutions():
    """Hidden channel k of dimension i is channel 4 i + k of a Conv1d with one group per dimension."""
    params, critic, collections = variables("factorised-neural")
    state_dict = export_state_dict(params, critic, collections, "factorised-neural")
    kernel, bias = (params["prior"]["_PerDimension_1"][name] for name in ("kernel", "bias"))
    official = state_dict["sampler.net.3.weight"]
    assert official.shape == (4 * LATENTS, 4, 1)
    for i in range(LATENTS):
        for k in range(4):
            np.testing.assert_array_equal(official[4 * i + k, :, 0], kernel[i, :, k])
            assert state_dict["sampler.net.3.bias"][4 * i + k] == bias[i, k]
    assert state_dict["sampler.net.7.weight"].shape == (LATENTS, 4, 1)


def test_singular_vector_follows_its_kernel():
    """v follows torch's order (channel, row, column): u^T W v is the same in both layouts."""
    _, critic, collections = variables("normal")
    state_dict = export_state_dict(*variables("normal"), "normal")
    ours = collections["critic"]["spectral"]["x_net"]["DownConv_1"]
    kernel = critic["x_net"]["DownConv_1"]["kernel"]
    official = state_dict["disc_block.x_net.2.weight_orig"].reshape(16, -1)
    v = state_dict["disc_block.x_net.2.weight_v"]
    expected = ours["u"] @ kernel.reshape(-1, 16).T @ ours["v"]
    np.testing.assert_allclose(ours["u"] @ official @ v, expected, rtol=1e-4)


@pytest.mark.parametrize("change", ["missing", "left over", "extra layer", "shape"])
def test_wrong_state_dicts(change):
    state_dict = export_state_dict(*variables("neural"), "neural")
    match change:
        case "missing":
            del state_dict["enc_block.net.3.bias"]
            problem = "no 'enc_block.net.3.bias'"
        case "left over":
            state_dict["something.else"] = np.zeros(3)
            problem = "something.else"
        case "extra layer":
            state_dict["enc_block.net.2.weight"] = np.zeros(3)
            problem = "enc_block.net has 6 layers"
        case "shape":
            state_dict["enc_block.net.10.weight"] = np.zeros((256, 4095), np.float32)
            problem = r"enc_block\.net\.10\.weight"
    with pytest.raises(ValueError, match=problem):
        import_state_dict(state_dict, "neural")


def test_state_dict_of_another_prior():
    state_dict = export_state_dict(*variables("neural"), "neural")
    with pytest.raises(ValueError, match=r"sampler\.net\.1\.weight"):
        import_state_dict(state_dict, "factorised-neural")


def test_batch_counters_are_ignored():
    state_dict = export_state_dict(*variables("neural"), "neural")
    import_state_dict(state_dict | {"sampler.net.7.num_batches_tracked": np.asarray(3)}, "neural")


def sequential(layers):
    """Torch names of a Sequential: (index, entries) of each layer that has entries."""
    return {
        f"{index}.{name}": shape
        for index, entries in enumerate(layers)
        for name, shape in (entries or {}).items()
    }


def affine(*shape):
    return {"weight": shape, "bias": shape[:1]}


def transposed(*shape):
    return {"weight": shape, "bias": shape[1:2]}


def norm(size):
    return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (size,)) | {
        "num_batches_tracked": ()
    }


def residual(channels, batch_norm):
    """Entries of x + [1x1, SiLU, (BN), 1x1, SiLU, (BN)](x), whose Sequential has a name of its own."""
    half = [affine(channels, channels, 1, 1), None, *[norm(channels)] * batch_norm]
    return {f"net.{name}": shape for name, shape in sequential(half * 2).items()}


def options_state_dict(batch_norm, residual_blocks):
    """A synthetic official state dict with the two options, by counting the modules of its Sequentials."""
    encoder, decoder, channels = [None], [affine(256, LATENTS), None, affine(4096, 256), None, None], 3
    for features in (32, 64, 128, 256):
        encoder += [affine(features, channels, 4, 4), None, *[norm(features)] * batch_norm]
        encoder += [residual(features, batch_norm)] * (2 * residual_blocks)
        channels = features
    encoder += [None, affine(256, 4096), None]
    for features in (128, 64, 32, 3):
        decoder.append(transposed(channels, features, 4, 4))
        if features > 3:
            decoder += [None, *[norm(features)] * batch_norm]
        decoder += [residual(features, batch_norm)] * (2 * residual_blocks)
        channels = features
    heads = {}
    for head in ("fc", "fc_logvar"):
        entries = sequential([affine(LATENTS, 256), norm(LATENTS)]) if batch_norm else affine(LATENTS, 256)
        heads |= {f"enc_block.{head}.{name}": shape for name, shape in entries.items()}
    shapes = heads | {f"enc_block.net.{name}": shape for name, shape in sequential(encoder).items()}
    shapes |= {f"dec_block.net.{name}": shape for name, shape in sequential(decoder).items()}
    rng = np.random.default_rng(1)
    options = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    plain = export_state_dict(*variables("normal"), "normal")
    return options | {name: a for name, a in plain.items() if not name.startswith(("enc_block", "dec_block"))}


@pytest.mark.parametrize(("batch_norm", "residual_blocks"), [(True, False), (False, True), (True, True)])
def test_options_import(batch_norm, residual_blocks):
    expected = variables("normal", batch_norm, residual_blocks)
    official = options_state_dict(batch_norm, residual_blocks)
    imported = import_state_dict(official, "normal", batch_norm, residual_blocks)
    for ours, theirs in zip(expected, imported, strict=True):
        ours, theirs = flatten_dict(ours, sep="/"), flatten_dict(theirs, sep="/")
        assert ours.keys() == theirs.keys()
        assert {path: a.shape for path, a in ours.items()} == {path: a.shape for path, a in theirs.items()}
    encoder = imported[0]["encoder"]
    second = 3 + batch_norm + 2 * residual_blocks
    np.testing.assert_array_equal(encoder["DownConv_1"]["bias"], official[f"enc_block.net.{second}.bias"])
    if batch_norm:
        np.testing.assert_array_equal(
            encoder["BatchNorm_1"]["scale"], official[f"enc_block.net.{second + 2}.weight"]
        )
        np.testing.assert_array_equal(
            imported[2]["encoder"]["batch_stats"]["mean_batch_norm"]["mean"],
            official["enc_block.fc.1.running_mean"],
        )
    if residual_blocks:
        block = f"enc_block.net.{second + 2 + batch_norm + 1}.net.{2 + batch_norm}"
        ours = encoder["ResidualBlock_3"]["Dense_1"]["kernel"]
        np.testing.assert_array_equal(ours, official[f"{block}.weight"][:, :, 0, 0].T)
