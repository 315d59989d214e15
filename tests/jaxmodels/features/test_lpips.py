"""LPIPS: a distance, by hand from the taps; with the published weights it orders distortions."""

import functools
import io
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxmodels.features.alexnet import AlexNet
from jaxmodels.features.lpips import LPIPS, unit
from jaxmodels.torch_import.lpips import import_state_dicts
from train.weights.files import read_state_dict

A, B = (jax.random.uniform(jax.random.key(i), (2, 32, 32, 3), minval=-1) for i in (0, 1))
NETWORK = LPIPS("alexnet")


@pytest.fixture(scope="module")
def distance():
    variables = jax.jit(NETWORK.init)(jax.random.key(2), A, B)
    params = dict(variables["params"])
    for i in range(5):
        params[f"heads_{i}"] = jax.random.uniform(jax.random.key(3 + i), params[f"heads_{i}"].shape)
    return jax.jit(functools.partial(NETWORK.apply, {"params": params})), params


def test_by_hand(distance):
    apply, params = distance
    found = apply(A, B)
    expected = np.zeros(2)
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    taps = jax.jit(functools.partial(AlexNet().apply, {"params": params["backbone"]}))
    of_a, of_b = (taps(((np.asarray(x) - shift) / scale).astype(np.float32)) for x in (A, B))
    for i, (f, g) in enumerate(zip(of_a, of_b, strict=True)):
        f, g = (x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-10) for x in map(np.asarray, (f, g)))
        expected += ((f - g) ** 2 * np.asarray(params[f"heads_{i}"])).sum(-1).mean((1, 2))
    assert found.shape == (2,)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_it_is_a_distance(distance):
    apply, _ = distance
    np.testing.assert_array_equal(apply(A, A), 0)
    np.testing.assert_allclose(apply(B, A), apply(A, B), rtol=1e-5)
    assert (apply(A, B) > 0).all()


def test_unit_vectors_and_their_gradient_at_zero():
    x = jnp.asarray([[[[3.0, 4.0], [0.0, 0.0]]]])
    np.testing.assert_allclose(unit(x), [[[[0.6, 0.8], [0, 0]]]])
    gradient = jax.grad(lambda x: unit(x)[..., 0].sum())(x)
    np.testing.assert_allclose(gradient[0, 0, 0], [0.64 / 5, -0.48 / 5], rtol=1e-5)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("network", ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_published_weights_order_distortions(shared, network):
    """Of photos: the more noise, the further; another photo is further than any of it."""
    weights = shared / "data" / "weights"
    backbone = read_state_dict(weights / f"{network}_imagenet_f16.npz")
    variables = import_state_dicts(backbone, read_state_dict(weights / "lpips_heads_v0.1.npz"), network)
    with zipfile.ZipFile(shared / "data" / "images" / "bsds500_256.zip") as archive:
        names = [f"test/{name}.jpg" for name in (100007, 157032)]
        photos = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    x = np.stack(photos)[:, 64:192, 64:192].astype(np.float32) / 127.5 - 1
    apply = jax.jit(functools.partial(LPIPS(network).apply, variables))
    noise = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    found = np.array(
        [*(apply(x, np.clip(x + s * noise, -1, 1)) for s in (0.0, 0.05, 0.2)), apply(x, x[::-1])]
    )
    assert (np.diff(found, axis=0) > 0).all()
    assert (found[-1] > 0.4).all() and (found[-1] < 1.2).all()
