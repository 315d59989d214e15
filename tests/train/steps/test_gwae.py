"""One whole GWAE step against the official code: outputs, losses, gradients, parameters and buffers after it.

The critic is piecewise linear in its input, so its gradient jumps where a pre-activation changes sign. In
`gmp64` one pre-activation of the third critic iteration (gradient penalty, fourth convolution) is 6e-7 in
float64, inside the float32 error there (rms 3e-7): ours comes out negative, and from there on the critics
differ by up to 9e-4 in a singular vector. The same program in float64 agrees with the official numbers to
9e-6 through all five iterations. Its critic is therefore compared through the first two; `neural64` has no
such point and is compared through all five.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.torch_import.gwae import export_state_dict
from tests.train.steps.official_gwae import recipe, step_noise
from train.steps import gwae, gwae_networks, gwae_weights

CONFIGS = {
    "neural64": gwae_networks.GWAEConfig(prior="neural"),
    "gmp64": gwae_networks.GWAEConfig(prior="gaussian-mixture", components=10),
}
COMPARABLE_ITERATIONS = {"neural64": 5, "gmp64": 2}


class Run(NamedTuple):
    golden: dict
    config: gwae_networks.GWAEConfig
    iterations: int
    before: gwae.GWAEState
    after: gwae.GWAEState
    metrics: dict


@functools.cache
def one_step(shared, name):
    """The official step with as many critic iterations as can be compared."""
    with np.load(shared / "parity" / f"gwae_{name}_io.npz", allow_pickle=False) as archive:
        golden = dict(archive)
    config, iterations = CONFIGS[name], COMPARABLE_ITERATIONS[name]
    state = official_state(name, config)
    noise = step_noise(golden, config.prior)
    noise = noise.replace(critic=jax.tree.map(lambda a: a[:iterations], noise.critic))
    after, metrics = jax.jit(gwae.update, static_argnums=3)(state, image(golden["x"]), noise, config)
    return Run(golden, config, iterations, state, after, metrics)


def official_state(name, config):
    """Our state with the weights of the recipe."""
    fresh = jax.eval_shape(lambda: gwae.init_state(jax.random.key(0), config))
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), fresh.replace(key=()))
    names = exported(fresh, config)
    weights = {key: recipe(name, key, value.shape) for key, value in names.items()}
    return gwae_weights.import_official(weights, jax.random.key(0), config)


def exported(state, config, params=None):
    """The state under its official names."""
    params = state.params if params is None else params
    return export_state_dict(params, state.critic, state.collections, config.prior)


def image(x):
    return jnp.asarray(x.transpose(0, 2, 3, 1))


@pytest.fixture(params=["neural64", pytest.param("gmp64", marks=pytest.mark.slow)])
def run(request, shared):
    return one_step(shared, request.param)


def test_eval_outputs(run):
    golden, state, z = run.golden, run.before, jnp.asarray(run.golden["eval/z_fixed"])

    @jax.jit
    def outputs(x, z):
        networks = gwae.Networks(
            gwae_networks.make_modules(run.config),
            {**state.params, "critic": state.critic},
            state.collections,
            train=False,
        )
        decoded = networks("decoder", z)
        features = networks("critic", x, method="image_features")
        potentials = networks("critic", x, z), features, networks("critic", decoded, z)
        return *networks("encoder", x), decoded, *potentials

    mu, logvar, decoded, *potentials = outputs(image(golden["x"]), z)
    np.testing.assert_allclose(mu, golden["eval/mean"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(logvar, golden["eval/logvar"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(decoded, image(golden["eval/dec_z_fixed"]), atol=1e-5, rtol=0)
    keys = ("eval/disc_x_zfixed", "eval/disc_xnet_x", "eval/ood_score_dec_z")
    for ours, key in zip(potentials, keys, strict=True):
        official = golden[key].reshape(ours.shape)
        np.testing.assert_allclose(ours, official, atol=1e-4 * np.abs(official).max(), rtol=0)


LOSSES = {
    "loss": "loss",
    "loss_gw": "loss_gw",
    "loss_w": "loss_w",
    "loss_h": "loss_qentropy",
    "scale": "distance_coef",
}


@pytest.mark.parametrize("ours", LOSSES)
def test_loss_terms(run, ours):
    np.testing.assert_allclose(run.metrics[ours], run.golden[f"train/loss/{LOSSES[ours]}"], rtol=1e-6)


def test_differences_of_critic_means(run):
    """Small differences of logits, held to the README's accuracy of the logits: 1e-6 absolute."""
    golden = run.golden
    iteration = run.iterations - 1
    for ours, sign, first in (("loss_d", 1, 0), ("critic_logits", -1, 2 + 3 * iteration)):
        data, model = (golden[f"train/disc{call}"].astype(np.float64) for call in (first, first + 1))
        np.testing.assert_allclose(run.metrics[ours], sign * np.mean(model - data), atol=1e-6, rtol=0)
    np.testing.assert_allclose(run.metrics["critic_on_data"], data.mean(), atol=1e-6, rtol=0)
    np.testing.assert_allclose(run.metrics["critic_on_model"], model.mean(), atol=1e-6, rtol=0)


def test_gradient_penalty(run):
    """Alone, with the drift terms, and in the critic's loss, whose size it sets."""
    golden, metrics, iteration = run.golden, run.metrics, run.iterations - 1
    data, model = (golden[f"train/disc{2 + 3 * iteration + i}"].astype(np.float64) for i in (0, 1))
    penalty = golden["train/gp_one_centered"][iteration]
    with_drift = penalty + 1e-4 * np.mean(data**2) + 1e-4 * np.mean(model**2)
    np.testing.assert_allclose(metrics["critic_penalty_one_centred"], penalty, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic_penalty"], with_drift, rtol=1e-6)
    np.testing.assert_allclose(metrics["critic_loss"], 10 * with_drift - np.mean(model - data), rtol=1e-6)


def test_reported_spreads(run):
    """Of the last critic iteration, as the official code reports them."""
    golden, iteration = run.golden, run.iterations - 1
    noise = step_noise(golden, run.config.prior).critic.posterior[iteration]
    z = golden["train/enc1_mean"] + np.exp(golden["train/enc1_logvar"] / 2) * noise
    for ours, codes in (("posterior_std", z), ("prior_std", golden[f"train/samp{iteration + 1}"])):
        np.testing.assert_allclose(run.metrics[ours], codes.std(0, ddof=1).mean(), rtol=1e-6)


def summary(array):
    """(L2 norm, first four and last four entries), as the reference numbers summarise an array."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return np.linalg.norm(flat), np.concatenate([flat[:4], flat[-4:]])


def before_batch_norm(name):
    """The bias whose true gradient is zero, as batch norm follows: RMSprop takes steps of its rounding."""
    return name == "sampler.net.6.bias"


def test_main_gradient_norms(run):
    """Read from RMSprop's accumulator, which is 0.01 gradient^2 after one update."""
    nu = run.after.optimiser[0].nu
    gradient = jax.tree.map(lambda a: np.sqrt(np.asarray(a, np.float64) / 0.01), nu)
    names = exported(run.before, run.config, params=gradient)
    keys = [key for key in run.golden if key.startswith("grad/main0/") and not before_batch_norm(key[11:])]
    for key in keys:
        np.testing.assert_allclose(summary(names[key[11:]])[0], run.golden[key][1], rtol=2e-5, err_msg=key)
    assert len(keys) == {"neural64": 34, "gmp64": 29}[name_of(run)]


@pytest.mark.slow
def test_mixing_logits_get_no_gradient(shared):
    run = one_step(shared, "gmp64")
    assert not np.any(run.after.optimiser[0].nu["prior"]["logits"])


def test_critic_gradient_norm(run):
    stage = f"grad/disc{run.iterations - 1}/"
    official = np.sqrt(sum(run.golden[key][1] ** 2 for key in run.golden if key.startswith(stage)))
    np.testing.assert_allclose(run.metrics["critic_gradient_norm"], official, rtol=2e-5)


def test_parameters_after_the_step(run):
    names = exported(run.after, run.config)
    checked = 0
    for key in run.golden:
        stage, _, name = key.removeprefix("after/").partition("/")
        if stage in ("main0", f"disc{run.iterations - 1}") and key.startswith("after/"):
            norm, ends = summary(names[name])
            if before_batch_norm(name):
                continue
            np.testing.assert_allclose(norm, run.golden[key][1], rtol=1e-5, err_msg=key)
            if names[name].size >= 4:
                np.testing.assert_allclose(ends, run.golden[key][2:], atol=1e-5, rtol=0, err_msg=key)
            checked += 1
    assert checked == {"neural64": 60, "gmp64": 56}[name_of(run)]


def name_of(run):
    return next(name for name, config in CONFIGS.items() if config is run.config)


def test_singular_vectors_after_the_step(shared):
    """Of neural64; those of gmp64 are known only after the iterations that cannot be compared.

    One entry of 2,048 is left out. Tap (3, 0) of the last convolution only ever sees padding: its weights
    have a gradient through sigma alone, proportional to its entry of v; for channel 35 that entry passes
    zero, and RMSprop makes full steps of the sign of what is left. There the official numbers are 4.4e-5
    from our step in float64, ours 6.9e-6.
    """
    run = one_step(shared, "neural64")
    names = exported(run.after, run.config)
    vectors = [key for key in run.golden if key.endswith(("weight_u", "weight_v"))]
    for key in vectors:
        difference = np.abs(names[key.removeprefix("after_step/")] - run.golden[key])
        if key == "after_step/disc_block.x_net.10.weight_v":
            difference[35 * 16 + 3 * 4] = 0
        assert difference.max() < 1e-5, key
    assert len(vectors) == 26


def test_running_statistics_of_the_neural_prior(shared):
    """The mean follows the bias in front of it, whose drift is rounding: subtracted where its value is known.

    Of six calls at momentum 0.5 the last five, with the drifted bias, weigh 1 - 2^-5 = 0.96875 together.
    """
    run = one_step(shared, "neural64")
    names = exported(run.after, run.config)
    known = np.r_[0:4, -4:0]
    drift = names["sampler.net.6.bias"][known] - run.golden["after/main0/sampler.net.6.bias"][2:]
    difference = names["sampler.net.7.running_mean"] - run.golden["after_step/sampler.net.7.running_mean"]
    np.testing.assert_allclose(difference[known], 0.96875 * drift, atol=1e-5, rtol=0)
    assert np.abs(difference).max() < 0.96875 * 2 * 10 * run.config.learning_rate + 1e-5
    official = run.golden["after_step/sampler.net.7.running_var"]
    np.testing.assert_allclose(names["sampler.net.7.running_var"], official, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_running_statistics_of_the_mixture_prior(shared):
    """Six calls of the sampler alone: one with the first parameters, five with the updated ones."""
    run = one_step(shared, "gmp64")
    noise = step_noise(run.golden, run.config.prior)
    module = gwae_networks.prior(run.config)
    collections = run.after.collections["prior"]
    for i in range(run.iterations, 5):
        variables = {"params": run.after.params["prior"], **collections}
        draw = {kind: jnp.asarray(draws[i]) for kind, draws in noise.critic.prior.items()}
        _, collections = module.apply(variables, draw, True, mutable=["batch_stats"])
    for name, official in (("mean", "running_mean"), ("var", "running_var")):
        ours = collections["batch_stats"]["BatchNorm_0"][name]
        golden = run.golden[f"after_step/sampler.batchnorm.{official}"]
        np.testing.assert_allclose(ours, golden, atol=1e-5, rtol=0)
