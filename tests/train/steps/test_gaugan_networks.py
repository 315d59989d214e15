"""The settings of GauGAN: their errors, and the law of every initial array."""

import math
import re
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from jaxmodels.torch_import.spade import export_network
from tests.jaxmodels.spade_goldens import load, under
from train.bounds import check_bounds
from train.errors import UserError
from train.layout import Layout
from train.steps.gaugan_networks import GauGANConfig, check, init_networks, make_modules

LAYOUT = Layout(12, dont_care=False, instances=False, height=64, width=64)
CONFIG = GauGANConfig(width=16, discriminator_width=16)


def with_size(height: int, width: int) -> Layout:
    return replace(LAYOUT, height=height, width=width)


@pytest.mark.parametrize(
    ("settings", "layout"),
    [
        ({}, LAYOUT),
        ({"upsampling": "most"}, with_size(128, 256)),
        ({"vae": True, "encoder_size": 64}, LAYOUT),
        ({"generator": "pix2pixhd"}, with_size(48, 80)),
        ({"generator": "dagan", "kernel": 1, "attention_scales": 4}, LAYOUT),
    ],
)
def test_good_settings_pass(settings: dict, layout: Layout) -> None:
    check_bounds(GauGANConfig(**settings))
    check(GauGANConfig(**settings), layout)


@pytest.mark.parametrize(
    ("settings", "layout", "message"),
    [
        ({"upsampling": "most", "width": 1}, with_size(128, 128), "--model.width = 1: "),
        ({"width": 0}, LAYOUT, "--model.width = 0: "),
        ({"discriminator_layers": 0}, LAYOUT, "--model.discriminator-layers = 0: "),
        ({"discriminator_steps": 0}, LAYOUT, "--model.discriminator-steps = 0: "),
        ({"attention_scales": 0}, LAYOUT, "--model.attention-scales = 0: "),
        ({"kernel": 4}, LAYOUT, "--model.kernel = 4: "),
        ({"kernel": -1}, LAYOUT, "--model.kernel = -1: "),
        ({"vae": True, "encoder_size": 100}, LAYOUT, "--model.encoder-size = 100: "),
        ({"vae": True, "encoder_size": 4}, LAYOUT, "--model.encoder-size = 4: "),
        ({}, with_size(64, 80), "--model.upsampling = normal: "),
        ({"upsampling": "most"}, LAYOUT, "--model.upsampling = most: "),
        ({"generator": "pix2pixhd", "vae": True}, LAYOUT, "--model.vae = True: "),
        ({"generator": "pix2pixhd"}, with_size(64, 72), "--data.crop-size = 64 x 72: "),
        ({"generator": "pix2pixhd"}, with_size(16, 64), "--data.crop-size = 16 x 64: "),
    ],
)
def test_bad_settings_are_errors(settings: dict, layout: Layout, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check_bounds(GauGANConfig(**settings), "--model.")
        check(GauGANConfig(**settings), layout)


def test_modules_follow_the_settings() -> None:
    assert set(make_modules(CONFIG, LAYOUT)) == {"generator", "discriminator"}
    config = GauGANConfig(
        generator="dagan", width=3, vae=True, latent_dim=7, attention_scales=2, norm="batch"
    )
    modules = make_modules(config, LAYOUT)
    assert set(modules) == {"generator", "discriminator", "encoder"}
    assert (modules["generator"].width, modules["generator"].scales) == (3, 2)
    assert modules["generator"].style.norm == "batch"
    assert (modules["encoder"].width, modules["encoder"].latent_dim) == (3, 7)


@pytest.fixture(scope="module")
def networks() -> dict:
    networks = jax.jit(partial(init_networks, config=CONFIG, layout=LAYOUT))(jax.random.key(0))
    return jax.tree.map(np.asarray, networks)


def test_initial_parameters_as_the_official_code(shared, networks) -> None:
    """The same names; every deviation within a quarter of the formula, and every bias 0."""
    golden = under(load(shared, "spade_layers"), "init/")
    letters = {"G": "generator", "D": "discriminator"}
    ours = {
        f"{letter}/{key}": array
        for letter, name in letters.items()
        for key, array in export_network(networks[name]).items()
    }
    wanted = {str(name): value for name, value in zip(golden["names"], golden["expected"], strict=True)}
    buffers = ("weight_u", "weight_v", "running_mean", "running_var")
    assert set(wanted) == {key for key in ours if not key.endswith(buffers)}
    for key, expected in wanted.items():
        if key.endswith("bias"):
            assert not ours[key].any()
        else:
            outputs, inputs, *window = ours[key].shape
            formula = 0.02 * math.sqrt(2 / (math.prod(window) * (inputs + outputs)))
            np.testing.assert_allclose(formula, expected, rtol=1e-5)
            np.testing.assert_allclose(ours[key].std(), expected, rtol=0.25)


def test_initial_collections(networks) -> None:
    """Fresh running statistics, and singular vectors of length 1."""
    for name, collections in networks.items():
        for leaf, array in export_network(collections).items():
            if leaf.endswith("running_mean"):
                assert not array.any(), name
            elif leaf.endswith("running_var"):
                assert (array == 1).all(), name
            elif leaf.endswith(("weight_u", "weight_v")):
                np.testing.assert_allclose(np.linalg.norm(array), 1, rtol=1e-5)


def test_no_two_kernels_are_alike(networks) -> None:
    """They are pieces of one draw."""
    kernels = [leaf for leaf in jax.tree.leaves(networks["discriminator"]["params"]) if leaf.ndim == 4]
    firsts = [np.asarray(kernel).reshape(-1)[:4] / np.asarray(kernel).std() for kernel in kernels]
    assert len(np.unique(np.round(firsts, 3), axis=0)) == len(kernels) == 10


def test_other_laws_and_scales_of_batch_norm() -> None:
    config = replace(
        CONFIG, generator="pix2pixhd", width=2, init="kaiming", discriminator_norm="batch", gain=0.5
    )
    networks = jax.jit(partial(init_networks, config=config, layout=LAYOUT))(jax.random.key(1))
    params = networks["discriminator"]["params"]["discriminator_0"]
    kernel = np.asarray(params["model3"]["kernel"])
    np.testing.assert_allclose(kernel.std(), math.sqrt(2 / math.prod(kernel.shape[:3])), rtol=0.05)
    scale = np.asarray(params["model3_norm"]["scale"])
    np.testing.assert_allclose([scale.mean(), scale.std()], [1, 0.5], rtol=0.25)
    assert not np.asarray(params["model3_norm"]["bias"]).any()
