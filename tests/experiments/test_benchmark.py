"""The benchmark's two forms are two programs of the same step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments import benchmark
from train.steps import gwae


def test_forms_differ_as_programs_and_agree_in_value():
    config = benchmark.Config(
        system="gwae", batch_size=2, model=gwae.GWAEConfig(latent_dim=2, prior="normal", critic_steps=1)
    )
    state = jax.jit(partial(gwae.init_state, config=config.model))(jax.random.key(0))
    batch = {"image": jnp.zeros((2, 64, 64, 3), jnp.uint8)}
    programs = [benchmark._compiled(config, form, state, batch)[0] for form in ("platform", "lax")]
    counts = [program.as_text().count("convolution(") for program in programs]
    assert counts[0] == 0 < counts[1]
    losses = [program(state, batch)[1]["loss"] for program in programs]
    np.testing.assert_allclose(*losses, rtol=1e-5)
