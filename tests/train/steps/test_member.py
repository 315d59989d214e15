"""The form of a member of the VAE family: its start, evaluation, and that devices make no difference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from train.devices import data_mesh, replicated, split, use_mesh
from train.steps import dip_vae, factor_vae, vae

MEMBERS = {
    "one loss": vae.member(vae.VAEConfig(latent_dim=4, batch_norm=True)),
    "of the set": dip_vae.member(dip_vae.DIPVAEConfig(latent_dim=4, batch_norm=True)),
    "two players": factor_vae.member(
        factor_vae.FactorVAEConfig(latent_dim=4, batch_norm=True, second_batch=True)
    ),
}


def test_members_of_one_key_start_from_the_same_autoencoder():
    params = [set(jax.eval_shape(member.init, jax.random.key(0)).params) for member in MEMBERS.values()]
    assert params[0] == params[1] == {"encoder", "decoder", "prior"}
    assert params[2] == {*params[0], "critic"}
    weights = [
        jax.jit(lambda key, member=member: member.init(key).params["decoder"]["Dense_0"]["kernel"])(
            jax.random.key(3)
        )
        for member in MEMBERS.values()
    ]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


@pytest.mark.parametrize("name", MEMBERS)
def test_evaluation_has_the_terms_of_training(name):
    """And no gradient's norm; it is by what `criterion` is, a loss."""
    member = MEMBERS[name]
    state, batch = (
        jax.eval_shape(member.init, jax.random.key(0)),
        {"image": jnp.zeros((8, 64, 64, 3), jnp.uint8)},
    )
    _, trained = jax.eval_shape(member.train_step, state, batch)
    evaluated = jax.eval_shape(member.eval_step, state, batch, jax.random.key(1))
    assert {one for one in trained if not one.endswith("gradient_norm")} == set(evaluated)
    assert "loss" in evaluated and {value.shape for value in evaluated.values()} == {()}


def three_steps(member, mesh):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 64, 64, 3), dtype=np.uint8)
    with use_mesh(mesh):
        state = jax.jit(member.init, out_shardings=replicated(mesh))(jax.random.key(0))
        step, every = jax.jit(member.train_step, out_shardings=replicated(mesh)), []
        for image in images:
            state, metrics = step(state, {"image": jax.device_put(image, split(mesh))})
            every.append([value for name, value in sorted(metrics.items()) if "gradient" not in name])
    return np.asarray(every)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MEMBERS)[1:])
def test_eight_devices_are_as_one(name):
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    one = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    found, expected = (three_steps(MEMBERS[name], mesh) for mesh in (data_mesh(), one))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
