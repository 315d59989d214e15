"""GauGAN on eight devices has the losses of one: norms, power iterations and the summed KL are of the global batch."""

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from tests.train.steps.small_generator import small_generators
from train.devices import data_mesh, replicated, split, use_mesh
from train.layout import Layout
from train.steps import gaugan
from train.steps.gaugan_networks import GauGANConfig

LAYOUT = Layout(3, dont_care=False, instances=False, height=32, width=32)
CONFIG = GauGANConfig(
    width=1, discriminator_width=2, vae=True, encoder_size=8, latent_dim=4, discriminator_norm="batch"
)


def losses(mesh: jax.sharding.Mesh) -> np.ndarray:
    """Of three updates on batches of 16."""
    rng = np.random.default_rng(0)
    with use_mesh(mesh):
        init = partial(gaugan.init_state, config=CONFIG, layout=LAYOUT)
        state = jax.jit(init, out_shardings=replicated(mesh))(jax.random.key(0))
        step = partial(gaugan.train_step, config=CONFIG, layout=LAYOUT, steps_per_epoch=10)
        step = jax.jit(step, out_shardings=replicated(mesh))
        out = []
        for _ in range(3):
            label = rng.integers(0, 3, (16, 32, 32), np.int32)
            image = rng.integers(0, 256, (16, 32, 32, 3), np.uint8)
            state, metrics = step(state, jax.device_put({"label": label, "image": image}, split(mesh)))
            out.append([metrics["loss"], metrics["loss_kl"], metrics["discriminator_loss"]])
    return np.asarray(out)


@pytest.mark.slow
def test_three_updates() -> None:
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    with small_generators():
        np.testing.assert_allclose(losses(data_mesh()), losses(one), rtol=1e-4)
