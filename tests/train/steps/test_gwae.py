"""One whole GWAE step against the official code: outputs, losses, gradients, parameters and buffers after it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.torch_import.gwae import export_state_dict
from tests.train.steps.official_gwae import PRIORS, recipe, step_noise
from train.steps import gwae

CONFIGS = {
    "neural64": gwae.GWAEConfig(prior="neural"),
    "gmp64": gwae.GWAEConfig(prior="gaussian-mixture", components=10),
}


@functools.cache
def load(shared, name):
    path = shared / "parity" / f"gwae_{name}_io.npz"
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def official_state(name, config):
    """Our state with the weights of the recipe."""
    fresh = gwae.init_state(jax.random.key(0), config)
    names = export_state_dict(fresh.params, fresh.critic, fresh.collections, config.prior)
    weights = {key: recipe(name, key, value.shape) for key, value in names.items()}
    return gwae.import_official(weights, jax.random.key(0), config)


@functools.cache
def one_step(shared, name):
    golden, config = load(shared, name), CONFIGS[name]
    state = official_state(name, config)
    x = jnp.asarray(golden["x"].transpose(0, 2, 3, 1))
    noise = step_noise(golden, config.prior)
    step = jax.jit(functools.partial(gwae.update, config=config))
    after, metrics = step(state, x, noise)
    gradient, (main_metrics, _) = jax.jit(
        jax.grad(functools.partial(gwae.main_loss, config=config, train=True), has_aux=True)
    )(state.params, state.critic, state.collections, x, noise)
    return golden, config, state, after, metrics | main_metrics, gradient


@pytest.fixture(params=CONFIGS)
def run(request, shared):
    return one_step(shared, request.param)


def test_eval_outputs(run):
    golden, config, state, *_ = run
    x = jnp.asarray(golden["x"].transpose(0, 2, 3, 1))
    z = golden["eval/z_fixed"]
    networks = gwae.Networks(
        gwae.make_modules(config), {**state.params, "critic": state.critic}, state.collections, False
    )
    mu, logvar = networks("encoder", x)
    np.testing.assert_allclose(mu, golden["eval/mean"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(logvar, golden["eval/logvar"], atol=1e-5, rtol=0)
    decoded = networks("decoder", z)
    np.testing.assert_allclose(decoded, golden["eval/dec_z_fixed"].transpose(0, 2, 3, 1), atol=1e-5, rtol=0)
    for ours, key in (
        (networks("critic", x, z), "eval/disc_x_zfixed"),
        (networks("critic", x, method="image_features"), "eval/disc_xnet_x"),
        (networks("critic", decoded, z), "eval/ood_score_dec_z"),
    ):
        official = golden[key].reshape(ours.shape)
        np.testing.assert_allclose(ours, official, atol=1e-4 * np.abs(official).max(), rtol=0)


LOSSES = {
    "loss": "loss",
    "loss_gw": "loss_gw",
    "loss_w": "loss_w",
    "loss_d": "loss_d",
    "loss_h": "loss_qentropy",
    "posterior_std": "qz_scale",
    "prior_std": "pz_scale",
    "scale": "distance_coef",
    "critic_loss": "loss_disc",
    "critic_logits": "loss_logits",
    "critic_penalty": "loss_gp",
}


@pytest.mark.parametrize("ours", LOSSES)
def test_loss_terms(run, ours):
    golden, _, _, _, metrics, _ = run
    np.testing.assert_allclose(metrics[ours], golden[f"train/loss/{LOSSES[ours]}"], rtol=1e-6)


def test_last_gradient_penalty(run):
    golden, _, _, _, metrics, _ = run
    np.testing.assert_allclose(metrics["critic_penalty_one_centred"], golden["train/gp_one_centered"][-1], rtol=1e-6)


def summary(array):
    flat = np.asarray(array, np.float64).reshape(-1)
    ends = np.concatenate([np.resize(flat[:4], 4), np.resize(flat[-4:], 4)]) if flat.size >= 4 else None
    return flat.sum(), np.linalg.norm(flat), ends


def before_batch_norm(name):
    """A bias whose true gradient is zero because batch norm follows."""
    return name in ("sampler.net.6.bias", "sampler.net.7.bias")


def test_gradient_norms(run):
    golden, config, state, _, _, gradient = run
    names = export_state_dict(gradient, state.critic, state.collections, config.prior)
    checked = 0
    for key in (key for key in golden if key.startswith("grad/main0/")):
        name = key.removeprefix("grad/main0/")
        if not before_batch_norm(name):
            np.testing.assert_allclose(summary(names[name])[1], golden[key][1], rtol=2e-5, err_msg=name)
            checked += 1
    assert checked > 25
    if config.prior == "gaussian-mixture":
        assert not np.any(names["sampler.logits_unnormalized"])


def test_parameters_after_the_step(run):
    golden, config, _, after, _, _ = run
    names = export_state_dict(after.params, after.critic, after.collections, config.prior)
    checked = 0
    for key in golden:
        stage, _, name = key.removeprefix("after/").partition("/")
        if key.startswith("after/") and stage in ("main0", "disc4") and not before_batch_norm(name):
            _, norm, ends = summary(names[name])
            np.testing.assert_allclose(norm, golden[key][1], rtol=1e-5, err_msg=key)
            if ends is not None:
                np.testing.assert_allclose(ends, golden[key][2:], atol=1e-5, rtol=0, err_msg=key)
            checked += 1
    assert checked > 50


def test_buffers_after_the_step(run):
    golden, config, _, after, _, _ = run
    names = export_state_dict(after.params, after.critic, after.collections, config.prior)
    checked = 0
    for key in golden:
        name = key.removeprefix("after_step/")
        if key.startswith("after_step/") and not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(names[name], golden[key], atol=1e-5, rtol=0, err_msg=name)
            checked += 1
    assert checked == 28
