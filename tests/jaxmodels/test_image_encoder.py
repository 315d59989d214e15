"""The style encoder against the official code, and its shapes at other sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.image_encoder import ImageEncoder
from jaxmodels.torch_import.spade import import_network
from tests.jaxmodels.spade_goldens import assert_close, load, nhwc, under


def test_as_the_official_code(shared):
    golden = load(shared, "spade_vae")
    module = ImageEncoder(4)
    apply = jax.jit(lambda variables, x: module.apply(variables, x, False))
    mu, logvar = apply(import_network(under(golden, "E/")), nhwc(golden["in/image"]))
    assert_close(mu, golden["eval/E/mu"])
    assert_close(logvar, golden["eval/E/logvar"])
    divergence = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar))
    np.testing.assert_allclose(divergence, golden["eval/E/kld_sum"], rtol=1e-4)


@pytest.mark.parametrize(("size", "layers"), [(8, 1), (64, 4), (256, 6)])
def test_as_many_layers_as_the_size_needs(size, layers):
    """Down to 4x4 with at most 8 widths of channels, whatever the size of the image."""
    module, image = ImageEncoder(2, 5, size), jax.ShapeDtypeStruct((3, 32, 48, 3), jnp.float32)
    run = lambda key, image: module.init_with_output(key, image, True)  # noqa: E731
    (mu, logvar), variables = jax.eval_shape(run, jax.random.key(0), image)
    assert mu.shape == logvar.shape == (3, 5)
    params = variables["params"]
    assert len(params) == layers + 2
    assert set(variables["spectral"]) == {f"layer{i + 1}" for i in range(layers)}
    assert params["fc_mu"]["kernel"].shape == (16 * 2 * min(2 ** (layers - 1), 8), 5)
    assert all("bias" not in params[f"layer{i + 1}"] for i in range(layers))


def test_blind_to_contrast():
    """The first instance norm removes it."""
    module, rng = ImageEncoder(2, 3, 8), np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    wanted = jax.eval_shape(lambda key: module.init(key, image, False), jax.random.key(0))
    variables = jax.tree.map(lambda a: rng.standard_normal(a.shape).astype(np.float32), wanted)
    apply = jax.jit(lambda x: module.apply(variables, x, False)[0])
    mu, scaled = apply(image), apply(3 * image)
    np.testing.assert_allclose(mu, scaled, atol=1e-3)
