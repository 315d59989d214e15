"""Whole updates against the official code, its schedule, its bytes, and the import of its weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmodels.layers.convolution import Form, convolution_form
from jaxmodels.torch_import.spade import export_network
from tests.jaxmodels.spade_goldens import Arrays, assert_close, load, nhwc, under
from train.layout import Layout
from train.steps import gaugan
from train.steps.gaugan_networks import GauGANConfig
from train.steps.gaugan_weights import import_official

NAMES = ("spade_normal", "dagan_normal", "spade_vae")
FORMS = [("dagan_normal", "lax"), *(pytest.param(name, "platform", marks=pytest.mark.slow) for name in NAMES)]
"""The convolutions of accelerators are quick to compile here; those of CPU are slow ones to."""
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:]]
CONFIGS = {
    "spade_normal": GauGANConfig(width=8, discriminator_width=8),
    "dagan_normal": GauGANConfig(generator="dagan", width=8, discriminator_width=8),
    "spade_vae": GauGANConfig(width=4, discriminator_width=4, vae=True),
}
NETWORKS = {"generator": "G", "discriminator": "D", "encoder": "E"}


class Golden:
    """A golden file, our state of its snapshot, and the compiled player objectives and update."""

    def __init__(self, arrays: Arrays, config: GauGANConfig):
        self.arrays, self.config = arrays, config
        classes, size = arrays["in/semantics"].shape[1], arrays["in/label"].shape[-1]
        self.layout = Layout(classes, dont_care=False, instances=False, height=size, width=size)
        dicts = {name: under(arrays, f"{letter}/") for name, letter in NETWORKS.items()}
        if not config.vae:
            dicts.pop("encoder")
        self.state = import_official(dicts, jax.random.key(0), config, self.layout)
        self.batch = {"label": jnp.asarray(arrays["in/label"][:, 0])}
        self.real = nhwc(arrays["in/image"])
        posterior = jnp.stack([jnp.asarray(arrays["in/eps"])] * 2) if config.vae else None
        self.noise = gaugan.draw_noise(jax.random.key(1), len(self.real), config).replace(posterior=posterior)

    def play(self, player: str) -> tuple[dict, dict, dict]:
        """(gradients, metrics, collections) of one player on the snapshot."""
        objective = {"generator": gaugan.generator_objective, "discriminator": gaugan.discriminator_objective}
        rest = (None,) if player == "generator" else ()
        sem = gaugan.see(self.batch, self.layout)

        @jax.jit
        def both(params: dict, collections: dict) -> tuple:
            loss = lambda p: objective[player](  # noqa: E731
                p, collections, sem, self.real, self.noise, self.config, self.layout, *rest
            )
            return jax.grad(loss, has_aux=True)(params)

        gradient, (metrics, collections) = both(self.state.params, self.state.collections)
        return gradient, metrics, collections


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest, shared) -> Golden:
    return Golden(load(shared, request.param), CONFIGS[request.param])


def official_gradient(gradient: dict, collections: dict, network: str) -> dict[str, np.ndarray]:
    return export_network({"params": gradient[network], **collections[network]})


@pytest.mark.parametrize(("golden", "form"), FORMS, indirect=["golden"])
def test_generator_step(golden: Golden, form: Form) -> None:
    # At 256 x 256 single kinks of leaky ReLU and of absolute differences decide the fourth digit: weights multiplied by
    # 1 + 3e-7 N(0, 1) move these gradients by 1e-4 to 6.5e-4 of their maximum, and once onto the golden within 4e-6.
    tolerance = 2e-3 if golden.config.vae else 1e-4
    with convolution_form(form):
        gradient, metrics, collections = golden.play("generator")
    wanted = under(golden.arrays, "train/G/")
    for ours, theirs in (("loss", "total"), ("loss_gan", "GAN"), ("loss_features", "GAN_Feat")):
        np.testing.assert_allclose(metrics[ours], wanted[f"loss/{theirs}"], rtol=1e-4)
    if golden.config.vae:
        np.testing.assert_allclose(metrics["loss_kl"], wanted["loss/KLD"], rtol=1e-4)
        encoder = official_gradient(gradient, collections, "encoder")
        for name, array in under(golden.arrays, "train/E/grad/").items():
            assert_close(encoder[name], _as_is(array), tolerance)
    ours = official_gradient(gradient, collections, "generator")
    for name, array in under(wanted, "grad/").items():
        assert_close(
            ours[name], _as_is(array), 1e-2 if golden.config.vae and name == "fc.weight" else tolerance
        )
    np.testing.assert_allclose(optax.tree.norm(gradient["generator"]), wanted["gradnorm_all"], rtol=1e-4)
    after = export_network({"params": golden.state.params["generator"], **collections["generator"]})
    for name, array in under(wanted, "state_after/").items():
        assert_close(after[name], array)
    judge = export_network({"params": golden.state.params["discriminator"], **collections["discriminator"]})
    for name, array in under(golden.arrays, "train/D/state_after_Gstep/").items():
        assert_close(judge[name], array)


@pytest.mark.parametrize("golden", ["spade_normal", *SLOW], indirect=True)
def test_discriminator_step(golden: Golden) -> None:
    gradient, metrics, collections = golden.play("discriminator")
    wanted = under(golden.arrays, "train/D/")
    for ours, theirs in (("loss", "total"), ("on_fake", "D_Fake"), ("on_real", "D_real")):
        np.testing.assert_allclose(metrics[f"discriminator_{ours}"], wanted[f"loss/{theirs}"], rtol=1e-4)
    ours = official_gradient(gradient, collections, "discriminator")
    for name, array in under(wanted, "grad/").items():
        assert_close(ours[name], _as_is(array))
    generator = jax.tree.leaves(gradient["generator"])
    assert all(not np.any(leaf) for leaf in generator)


@pytest.mark.slow
@pytest.mark.parametrize("golden", NAMES, indirect=True)
def test_three_updates(golden: Golden) -> None:
    state, config = golden.state, golden.config
    # The golden's images are not whole numbers of 255.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaugan, "signed_pixels", lambda image: image)
        batch = {**golden.batch, "image": golden.real}
        step = jax.jit(partial(gaugan.update, config=config, layout=golden.layout, steps_per_epoch=1000))
        losses = []
        for _ in range(3):
            state, metrics = step(state, batch, golden.noise)
            losses.append([metrics["loss"], metrics["discriminator_loss"]])
    np.testing.assert_allclose(np.asarray(losses), golden.arrays["steps3/losses_G_D"], rtol=1e-3)
    for network, letter in (("generator", "G"), ("discriminator", "D")):
        ours = export_network({"params": state.params[network], **state.collections[network]})
        for name, array in under(golden.arrays, f"steps3/{letter}/").items():
            # Adam without momentum moves by signs at first: weights that are perturbed by 1e-6 end up to 2e-3 away
            # here, and half of them by 1e-4.
            difference = np.abs(ours[name] - array)
            assert np.median(difference) < 5e-4 * np.abs(array).max()
            assert difference.max() < 3 * 2 * golden.config.learning_rate * 2


def _as_is(array: np.ndarray) -> np.ndarray:
    """`assert_close` transposes images; kernels are compared in the official layout."""
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def test_learning_rates_fall_at_the_end_of_every_late_epoch() -> None:
    """Epochs 1 .. niter at the full rate; at the end of every later one lr0 / niter_decay less."""
    config = GauGANConfig(epochs=3, decay_epochs=4)
    rate = config.learning_rate
    for epoch in range(1, 8):
        ours = gaugan.learning_rates(epoch - 1, config)
        np.testing.assert_allclose(ours["generator"], rate / 2, rtol=1e-5)
        np.testing.assert_allclose(ours["discriminator"], rate * 2, rtol=1e-5)
        rate -= config.learning_rate / 4 if epoch > 3 else 0
    np.testing.assert_allclose(gaugan.learning_rates(7, config)["generator"], 0, atol=1e-12)
    np.testing.assert_allclose(gaugan.learning_rates(20, config)["generator"], 0, atol=1e-12)


def test_learning_rates_without_decay_and_without_two_time_scales() -> None:
    config = GauGANConfig(epochs=3, ttur=False)
    for epoch in (0, 2, 9):
        rates = gaugan.learning_rates(epoch, config)
        np.testing.assert_allclose([rates["generator"], rates["discriminator"]], config.learning_rate)


def test_bytes_are_truncated_as_in_the_official_code() -> None:
    image = jnp.asarray([-1.5, -1.0, -0.997, 0.0, 0.9999, 1.0]).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(gaugan.to_bytes(image).reshape(-1), [0, 0, 0, 127, 254, 255])
    steps = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    assert (
        np.abs(np.asarray(gaugan.to_bytes(gaugan.signed_pixels(steps)), int) - np.asarray(steps)).max() <= 1
    )


def test_what_the_networks_see() -> None:
    """Known classes, unknown pixels, then the edges of instances."""
    layout = Layout(2, dont_care=True, instances=True, height=1, width=3)
    batch = {"label": jnp.asarray([[[1, 2, 0]]]), "instance": jnp.asarray([[[5, 5, 6]]])}
    seen = [[0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    np.testing.assert_array_equal(gaugan.see(batch, layout)[0, 0], seen)
    as_in_files = {**batch, "label": jnp.asarray([[[1, 255, 0]]])}
    np.testing.assert_array_equal(gaugan.see(as_in_files, layout)[0, 0], seen)
    many = Layout(300, dont_care=True, instances=False, height=1, width=3)
    assert gaugan.see(as_in_files, many)[0, 0, 1].argmax() == 255
