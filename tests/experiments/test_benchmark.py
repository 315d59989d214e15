"""What is timed are programs of the same step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import benchmark
from train.steps import cada_vae, gwae, gwae_networks


@pytest.mark.slow
def test_forms_differ_as_programs_and_agree_in_value():
    config = benchmark.GWAE(
        batch_size=2, model=gwae_networks.GWAEConfig(latent_dim=2, prior="normal", critic_steps=1)
    )
    state = jax.jit(partial(gwae.init_state, config=config.model))(jax.random.key(0))
    batch = {"image": jnp.zeros((2, 64, 64, 3), jnp.uint8)}
    programs = [benchmark.compiled_gwae(config, form, state, batch)[0] for form in ("platform", "lax")]
    counts = [program.as_text().count("convolution(") for program in programs]
    assert counts[0] == 0 < counts[1]
    losses = [program(state, batch)[1]["loss"] for program in programs]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.slow
def test_every_form_of_cada_vae_is_timed():
    model = cada_vae.CADAVAEConfig(latent_dim=2, image_hidden=(4, 4), side_hidden=(4, 4))
    config = benchmark.CADAVAE(
        features=3, attributes=2, rows=9, batch_size=4, updates=2, seeds=2, model=model
    )
    table = benchmark.cada_vae_table(config)
    assert len(table.rows) == 4
    assert all(number > 0 for row in table.rows for number in row[1:])
