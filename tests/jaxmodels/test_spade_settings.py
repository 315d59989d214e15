"""Settings of SPADE, DAGAN, the discriminator and the encoder that no golden has, against a NumPy oracle.

Both sides take one state dict with official names, in eval and in train mode; what train mode changes is compared too.
"""

from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxmodels.dagan import DAGANGenerator
from jaxmodels.image_encoder import ImageEncoder
from jaxmodels.patch_gan import MultiScaleDiscriminator, PatchDiscriminator
from jaxmodels.semantics import semantics
from jaxmodels.spade import SPADEGenerator, Style
from jaxmodels.torch_import.spade import export_network
from tests.jaxmodels import spade_oracle

CLASSES, UNKNOWN, INSTANCES = 3, 1, 1
SLOW = pytest.mark.slow
PLAIN = {"norm": "batch", "spectral": False, "hidden": 3}


def drawn(module: nn.Module, *inputs: Any) -> dict:
    """Variables of a signal's size; the singular vectors have seen their kernel, as those of a trained network."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: module.init(key, *inputs, False), jax.random.key(0))
    flat = {path: rng.standard_normal(leaf.shape) for path, leaf in flatten_dict(shapes).items()}
    for path, numbers in flat.items():
        match path[-1]:
            case "kernel":
                flat[path] = numbers / np.sqrt(np.prod(numbers.shape[:-1]))
            case "scale" | "var":
                flat[path] = 1 + 0.2 * np.abs(numbers)
            case "bias" | "mean":
                flat[path] = 0.2 * numbers
    for path in [path for path in flat if path[-1] == "u"]:
        kernel = flat["params", *path[1:-1], "kernel"]
        left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
        flat[path], flat[*path[:-1], "v"] = (
            spade_oracle.unit(vector + 0.3 * vector[::-1]) for vector in (right[0], left[:, 0])
        )
    return unflatten_dict({path: np.asarray(a, np.float32) for path, a in flat.items()})


def run(module: nn.Module, variables: dict, train: bool, *inputs: Any) -> tuple[Any, dict]:
    """(output, the collections after it)."""
    changing = [name for name in variables if name != "params"]
    return jax.jit(lambda variables, *x: module.apply(variables, *x, train, mutable=changing))(
        variables, *inputs
    )


def assert_same(found: Any, expected: np.ndarray) -> None:
    """Images are [b, h, w, c] in `found`; the tolerance is that of the goldens."""
    found = np.asarray(found)
    if found.ndim == 4:
        found = found.transpose(0, 3, 1, 2)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def assert_same_state(variables: dict, after: dict, layers: spade_oracle.Layers, norm: str) -> None:
    found = export_network({**variables, **after}, norm)  # type: ignore[arg-type]
    assert layers.after
    for name, expected in layers.after.items():
        assert_same(found[name], expected)


def layouts(height: int, width: int) -> np.ndarray:
    """What networks see of two layouts with unknown pixels and instances."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, CLASSES + UNKNOWN, (2, height // 4, width // 4)).repeat(4, 1).repeat(4, 2)
    instance = rng.integers(0, 9, (2, height // 8, width // 8)).repeat(8, 1).repeat(8, 2)
    return np.asarray(semantics(label, CLASSES + UNKNOWN, instance))


@pytest.mark.parametrize(
    ("module", "size", "latent"),
    [
        (SPADEGenerator(1, "normal", Style(**PLAIN)), (32, 64), None),
        pytest.param(SPADEGenerator(1, "more", Style(hidden=4)), (64, 128), None, marks=SLOW),
        pytest.param(SPADEGenerator(2, "most", Style(hidden=4)), (128, 128), None, marks=SLOW),
        pytest.param(SPADEGenerator(1, "normal", Style(**PLAIN | {"kernel": 5})), (64, 32), 3, marks=SLOW),
        pytest.param(SPADEGenerator(1, "normal", Style(norm="instance", kernel=1)), (32, 32), 3, marks=SLOW),
        # Not 64 x 64: batch norm of two values divides their rounding by their difference.
        pytest.param(DAGANGenerator(3, "more", Style(hidden=4)), (64, 128), None, marks=SLOW),
        pytest.param(DAGANGenerator(1, "normal", Style(**PLAIN), spatial_size=7), (32, 64), 2, marks=SLOW),
    ],
)
def test_generator(module: Any, size: tuple[int, int], latent: int | None) -> None:
    sem = layouts(*size)
    z = None if latent is None else np.random.default_rng(2).standard_normal((2, latent)).astype(np.float32)
    variables = drawn(module, sem, z)
    official = export_network(variables)
    for train in (False, True):
        image, after = run(module, variables, train, sem, z)
        expected, layers = spade_oracle.generator(
            official, sem.transpose(0, 3, 1, 2), z, module.upsampling, train
        )
        assert_same(image, expected)
        if train and layers.after:
            assert_same_state(variables, after, layers, "instance")


@pytest.mark.parametrize(
    ("norm", "spectral", "scales", "stages"),
    [("batch", False, 2, 4), ("none", True, 3, 1), ("batch", True, 1, 3), ("instance", False, 2, 2)],
)
def test_discriminator(norm: Any, spectral: bool, scales: int, stages: int) -> None:
    x = np.random.default_rng(3).standard_normal((2, 19, 34, 5)).astype(np.float32)
    patch = PatchDiscriminator(3, stages, norm, spectral, parent=None)
    module = MultiScaleDiscriminator(scales, patch)
    variables = drawn(module, x)
    official = export_network(variables, norm)
    for train in (False, True):
        found, after = run(module, variables, train, x)
        expected, layers = spade_oracle.discriminator(
            official, x.transpose(0, 3, 1, 2), scales, stages, norm, train
        )
        jax.tree.map(assert_same, found, expected)
        if layers.after:
            assert_same_state(variables, after, layers, norm)


@pytest.mark.parametrize(
    ("norm", "spectral"), [("batch", True), ("batch", False), ("none", False), ("instance", False)]
)
def test_encoder(norm: Any, spectral: bool) -> None:
    image = np.random.default_rng(4).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    module = ImageEncoder(2, 3, 16, norm, spectral)
    variables = drawn(module, image)
    official = export_network(variables, norm)
    for train in (False, True):
        (mu, logvar), after = run(module, variables, train, image)
        *expected, layers = spade_oracle.encoder(official, image.transpose(0, 3, 1, 2), 2, norm, train)
        assert_same(mu, expected[0])
        assert_same(logvar, expected[1])
        if layers.after:
            assert_same_state(variables, after, layers, norm)
