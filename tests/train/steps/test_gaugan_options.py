"""What holds of every update of GauGAN and DAGAN, whatever the settings: which networks move, and every term."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.steps.small_generator import small_generators
from train.layout import Layout
from train.networks import Networks
from train.steps import gaugan
from train.steps.gaugan_networks import GauGANConfig, make_modules

PLAIN = Layout(3, dont_care=False, instances=False, height=32, width=32)
FULL = Layout(3, dont_care=True, instances=True, height=32, width=64)
TINY = {"width": 1, "discriminator_width": 2}


def batch_of(layout: Layout, size: int = 2, seed: int = 0) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    shape = (size, layout.height, layout.width)
    maps = {"label": rng.integers(0, layout.classes + layout.dont_care, shape, np.int32)}
    if layout.instances:
        maps["instance"] = rng.integers(0, 3, shape, np.int32)
    return {**maps, "image": rng.integers(0, 256, (*shape, 3), np.uint8)}


def fresh(config: GauGANConfig, layout: Layout) -> gaugan.GauGANState:
    return jax.jit(partial(gaugan.init_state, config=config, layout=layout))(jax.random.key(0))


VARIANTS = {
    "batch norm, most": (
        {"norm": "batch", "spectral": False, "upsampling": "most", "width": 2},
        Layout(3, dont_care=True, instances=False, height=128, width=256),
    ),
    "style, more": (
        {"generator": "dagan", "vae": True, "encoder_size": 16, "latent_dim": 4, "upsampling": "more"},
        Layout(3, dont_care=False, instances=True, height=64, width=128),
    ),
    "pix2pixhd": ({"generator": "pix2pixhd", "discriminator_norm": "batch"}, FULL),
    "instance norm, bfloat16": (
        {
            "norm": "instance",
            "spectral": False,
            "dtype": "bfloat16",
            "remat": True,
            "discriminator_norm": "none",
        },
        FULL,
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "style, more",
        "pix2pixhd",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("batch norm, most", "instance norm, bfloat16")),
    ],
)
def test_every_generator_has_its_objective(name: str) -> None:
    """A float32 scalar of float32 terms, whose collections keep their shapes."""
    settings, layout = VARIANTS[name]
    config = GauGANConfig(**{**TINY, **settings})
    state = jax.eval_shape(partial(gaugan.init_state, config=config, layout=layout), jax.random.key(0))
    batch = batch_of(layout)

    def objective(params: dict, collections: dict) -> tuple:
        noise = gaugan.draw_noise(jax.random.key(0), 2, config)
        real = gaugan.signed_pixels(jnp.asarray(batch["image"]))
        sem = gaugan.see(batch, layout)
        return gaugan.generator_objective(params, collections, sem, real, noise, config, layout, None)

    loss, (metrics, collections) = jax.eval_shape(objective, state.params, state.collections)
    for value in (loss, *metrics.values()):
        assert (value.shape, value.dtype) == ((), jnp.float32)
    after, before = (jax.tree.map(lambda a: (a.shape, a.dtype), c) for c in (collections, state.collections))
    assert after == before
    assert ("loss_kl" in metrics) == config.vae


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """Networks are made with the small generator."""
    with small_generators():
        yield


STYLED = GauGANConfig(
    width=4,
    discriminator_width=4,
    discriminator_layers=2,
    discriminator_norm="batch",
    vae=True,
    encoder_size=8,
    latent_dim=4,
    discriminator_steps=2,
    augment=("colour", "translation", "cutout"),
)


@pytest.fixture(scope="module")
def run(small: None) -> tuple[list[gaugan.GauGANState], list[dict]]:
    """Three updates with style, unknown pixels, instances and augmentation on images twice as wide as high, where
    the generator plays in every second one."""
    step = jax.jit(partial(gaugan.train_step, config=STYLED, layout=FULL, steps_per_epoch=10))
    states, metrics = [fresh(STYLED, FULL)], []
    for i in range(3):
        state, measured = step(states[-1], batch_of(FULL, seed=i))
        states.append(state)
        metrics.append(measured)
    return states, metrics


def changed(before: dict, after: dict) -> bool:
    return any(np.any(a != b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


@pytest.mark.slow
def test_updates_are_finite(run: tuple) -> None:
    states, metrics = run
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states[-1].replace(key=0)))
    assert all(np.isfinite(value) for measured in metrics for value in measured.values())
    assert metrics[0]["loss_kl"] > 0
    total = sum(metrics[0][f"loss_{term}"] for term in ("gan", "features", "kl"))
    np.testing.assert_allclose(metrics[0]["loss"], total, rtol=1e-5)
    assert states[-1].step == 3


def test_generator_plays_in_every_second_update(run: tuple) -> None:
    """The encoder plays with it; what both keep advances with every pass, also of the discriminator's turn. The losses
    of the generator are known in every update."""
    states, metrics = run
    for i, plays in enumerate((True, False, True)):
        for name in ("generator", "encoder"):
            assert changed(states[i].params[name], states[i + 1].params[name]) == plays
            assert changed(states[i].collections[name], states[i + 1].collections[name])
        assert changed(states[i].params["discriminator"], states[i + 1].params["discriminator"])
        terms = [float(metrics[i][f"loss_{term}"]) for term in ("gan", "features", "kl")]
        np.testing.assert_allclose(metrics[i]["loss"], sum(terms), rtol=1e-5)
        assert all(term != 0 for term in terms)
        assert (metrics[i]["generator_gradient_norm"] > 0) == plays
        assert metrics[i]["discriminator_loss"] != 0


def test_eval_mode_leaves_statistics_and_iterations_alone(run: tuple) -> None:
    def moved(state: gaugan.GauGANState, train: bool) -> list[str]:
        networks = Networks(make_modules(STYLED, FULL), state.params, state.collections, train)
        image, sem = jnp.zeros((2, 32, 64, 3)), jnp.zeros((2, 32, 64, FULL.channels))
        networks("generator", sem, networks("encoder", image)[0])
        networks("discriminator", jnp.concatenate([sem, image], -1))
        return sorted(n for n in state.params if networks.collections[n] is not state.collections[n])

    found = {}
    for train in (True, False):
        jax.eval_shape(lambda state, train=train: found.update({train: moved(state, train)}), run[0][0])
    assert found == {True: ["discriminator", "encoder", "generator"], False: []}


def test_generated_images_and_styles_have_their_shapes(run: tuple) -> None:
    def use(state: gaugan.GauGANState) -> tuple:
        batch = {name: jnp.asarray(array) for name, array in batch_of(FULL).items()}
        mu, logvar = gaugan.encode(state, batch["image"], STYLED, FULL)
        return gaugan.generate(state, batch, mu, STYLED, FULL), logvar

    image, logvar = jax.eval_shape(use, run[0][0])
    assert image.shape == (2, 32, 64, 3)
    assert logvar.shape == (2, 4)


BARE = GauGANConfig(
    width=4,
    norm="instance",
    spectral=False,
    discriminator_width=2,
    discriminator_layers=2,
    discriminators=1,
    discriminator_norm="none",
    discriminator_spectral=False,
    init="kaiming",
    coef_vgg=3.0,
)
"""Networks that keep no collections."""


@pytest.fixture(scope="module")
def objectives(small: None) -> dict:
    """Losses of both players with and without penalties and perceptual distance, and the critic's gradients."""
    state, batch = fresh(BARE, PLAIN), batch_of(PLAIN)
    noise = gaugan.draw_noise(jax.random.key(1), 2, BARE)
    real, sem = gaugan.signed_pixels(jnp.asarray(batch["image"])), gaugan.see(batch, PLAIN)

    def of_discriminator(params: dict, **weights: float) -> jax.Array:
        config = replace(BARE, **weights)
        return gaugan.discriminator_objective(params, state.collections, sem, real, noise, config, PLAIN)[0]

    def of_generator(params: dict) -> tuple:
        distance = lambda a, b: jnp.mean((a - b) ** 2)  # noqa: E731
        return gaugan.generator_objective(params, state.collections, sem, real, noise, BARE, PLAIN, distance)

    @jax.jit
    def run(params: dict) -> dict:
        modules = make_modules(BARE, PLAIN)

        def critic(image: jax.Array) -> jax.Array:
            pair = jnp.concatenate([sem, image], -1)
            return modules["discriminator"].apply({"params": params["discriminator"]}, pair, False)[0][-1]

        fake = modules["generator"].apply({"params": params["generator"]}, sem, None, False)
        t = noise.penalty.reshape(-1, 1, 1, 1)
        gradient = jax.grad(lambda image: critic(image).mean((1, 2, 3)).sum())
        return {
            "plain": of_discriminator(params),
            "r1": of_discriminator(params, r1=2.0),
            "gradient_penalty": of_discriminator(params, gradient_penalty=3.0),
            "generator": of_generator(params),
            "at_real": gradient(real),
            "between": gradient(t * real + (1 - t) * fake),
            "distance": jnp.mean((fake - real) ** 2),
        }

    return run(state.params)


def test_r1_is_half_the_squared_gradient_at_the_real_images(objectives: dict) -> None:
    squares = (np.asarray(objectives["at_real"], np.float64) ** 2).sum((1, 2, 3))
    assert squares.min() > 1e-4
    np.testing.assert_allclose(objectives["r1"] - objectives["plain"], 2.0 * squares.mean() / 2, rtol=1e-3)


def test_gradient_penalty_is_one_centred_between_real_and_generated_images(objectives: dict) -> None:
    norms = np.sqrt((np.asarray(objectives["between"], np.float64) ** 2).sum((1, 2, 3)))
    expected = 3.0 * ((norms - 1) ** 2).mean()
    np.testing.assert_allclose(objectives["gradient_penalty"] - objectives["plain"], expected, rtol=1e-4)


def test_perceptual_distance_is_one_of_the_terms(objectives: dict) -> None:
    loss, (metrics, _) = objectives["generator"]
    np.testing.assert_allclose(metrics["loss_vgg"], 3 * objectives["distance"], rtol=1e-5)
    np.testing.assert_allclose(
        loss, metrics["loss_vgg"] + metrics["loss_gan"] + metrics["loss_features"], rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "layout"),
    [
        ({"generator": "pix2pixhd"}, FULL),
        ({"generator": "dagan", "vae": True, "encoder_size": 8, "latent_dim": 4, "norm": "instance"}, FULL),
        ({"spectral": False, "discriminator_norm": "batch", "r1": 1.0, "gradient_penalty": 1.0}, PLAIN),
    ],
)
def test_other_updates_are_finite(settings: dict, layout: Layout) -> None:
    config = GauGANConfig(**TINY, **settings)
    step = jax.jit(partial(gaugan.train_step, config=config, layout=layout, steps_per_epoch=10))
    state, metrics = step(fresh(config, layout), batch_of(layout))
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
